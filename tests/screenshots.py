"""
Takes the pictures in docs/images of a running demo: `python -m tests.screenshots .tailrace/demo`.

While it does, one row is refused by the target; afterwards it is redriven, so that the demo still
proves that source and target are equal.
"""

import secrets
import subprocess
import sys
from pathlib import Path

import psycopg

from tailrace.config import load
from tailrace.harness.waits import eventually
from tailrace.parked.letters import open_count
from tests import browser
from tests.browser import NARROW, WIDE, Visitor, chromium

ROW = 10**12 + secrets.randbelow(10**9)
RULE = "ALTER TABLE customers ADD CONSTRAINT polite CHECK (name <> 'rude') NOT VALID"


def main(folder: str) -> None:
    """Asserts what the tests of pages assert, too."""
    file = Path(folder) / "pipeline.yaml"
    pipeline = load(file, env={})
    token = (Path(folder) / "history.operator-token").read_text().strip()
    browser.SCREENSHOTS = "docs/images"
    Path(browser.SCREENSHOTS).mkdir(exist_ok=True)
    (sink,) = pipeline.sinks.values()
    with (
        psycopg.connect(pipeline.source.dsn, autocommit=True) as source,
        psycopg.connect(sink.dsn, autocommit=True) as target,
        chromium() as opened,
    ):
        url = f"http://127.0.0.1:{pipeline.dashboard.port}"
        visitor = Visitor(opened, url)
        visitor.goto("/")
        visitor.page.get_by_text("Every pipeline keeps up").wait_for()
        visitor.check("well")
        visitor.close()
        target.execute(RULE)
        source.execute("INSERT INTO customers (id, email, name) VALUES (%s, 'x', 'rude')", [ROW])
        eventually(lambda: open_count(pipeline, "mirror") == 1, 30)
        source.execute("UPDATE customers SET name = 'kind' WHERE id = %s", [ROW])
        arrived = "SELECT 1 FROM customers WHERE id = %s"
        eventually(lambda: target.execute(arrived, [ROW]).fetchone() is not None, 30)
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
            visitor = Visitor(opened, url, scheme, size)  # type: ignore[arg-type]
            visitor.log_in(token)
            _take(visitor)
            visitor.close()
        target.execute("ALTER TABLE customers DROP CONSTRAINT polite")
        again = ["parked", "redrive", "mirror", "--all", "--yes", "-c", str(file)]
        subprocess.run([sys.executable, "-m", "tailrace", *again], check=True)


def _take(visitor: Visitor) -> None:
    pages = {
        "overview": "/",
        "pipeline": "/p/shop",
        "source": "/p/shop/source",
        "parked": "/p/shop/parked",
        "trace": f"/p/shop/trace?what=customers:{ROW}",
    }
    for name, path in pages.items():
        page = visitor.goto(path)
        if name in ("overview", "pipeline"):
            page.get_by_text("parked, not applied").first.wait_for()
        if name in ("pipeline", "source"):
            page.locator(".u-over").first.wait_for()
        visitor.check(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
