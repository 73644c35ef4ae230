"""The dashboard over a real pipeline, in a real browser: what a person sees and may do."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, Route, expect

from devstack import AnyStack
from devstack.process import free_ports
from tailrace.actions import log_of
from tailrace.harness.cdc import Cdc
from tailrace.harness.factory import Factory
from tailrace.harness.waits import eventually
from tests.browser import NARROW, WIDE, Scheme, Visitor, chromium

DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 200) AS i;
"""
TOKEN = "operator-token-of-the-tests"
VIEWER = "viewer-token-of-the-tests"
EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


class Shown:
    """A pipeline, its daemon and its dashboard."""

    def __init__(self, pipe: Cdc, history: Path) -> None:
        self.pipe = pipe
        self.history = history
        (port,) = free_ports(1)
        text = f"dashboard: {{port: {port}, operator_token: {TOKEN}}}\n"
        pipe.file.write_text(pipe.file.read_text() + text)
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "tailrace", "dashboard", "-c", str(self.pipe.file)]
        words += ["--history", str(self.history)]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert self.url in self.process.stderr.readline()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        self.process.communicate(timeout=15)
        return self.process.returncode

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=20)

    def state(self) -> str:
        found = self.get(f"/api/v1/pipelines/{self.pipe.name}")
        return str(found.json()["verdict"]["state"]) if found.status_code == 200 else ""

    def until(self, *states: str) -> None:
        eventually(lambda: self.state() in states, 40, f"{states}")


@pytest.fixture(scope="module")
def shown(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("dashboard")
    factory = Factory(stack, folder, update_golden=False)
    pipe = factory(DDL, ["public.orders"], watch_effects=False)
    pipe.register()
    pipe.start_daemon()
    pipe.wait_converged()
    opened = Shown(pipe, folder / "history.sqlite")
    opened.until("IDLE", "OK")
    yield opened
    opened.stop()
    factory.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def test_the_pages_say_what_is_wrong_and_what_to_do(shown: Shown, browser: Browser) -> None:
    """From all well, through a refused row, to where it is redriven, by one who logged in."""
    pipe = shown.pipe
    visitor = Visitor(browser, shown.url)
    page = visitor.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Every pipeline keeps up")
    expect(page).to_have_title("IDLE | pipelines · tailrace")

    pipe.sink.sql("ALTER TABLE orders ADD CONSTRAINT polite CHECK (note NOT LIKE '<%')")
    pipe.sql("UPDATE orders SET note = %s WHERE id = 7", EVIL)
    pipe.sql("UPDATE orders SET note = 'new' WHERE id = 8")
    expect(page.get_by_text("1 record(s) are parked, not applied")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("tailrace parked list")).to_be_visible()
    expect(page).to_have_title("DEGRADED | pipelines · tailrace")

    visitor.log_in(TOKEN)
    page = visitor.goto(f"/p/{pipe.name}/parked")
    page.get_by_role("link", name="example").click()
    expect(page.locator("pre").nth(2)).to_contain_text("<script>")
    page.get_by_role("link", name="Redrive…").click()
    expect(page.get_by_text("0 written, 0 stale")).to_be_visible()
    assert page.get_by_text("1 refused again").is_visible()

    pipe.sink.sql("ALTER TABLE orders DROP CONSTRAINT polite")
    page.reload()
    expect(page.get_by_text("1 written, 0 stale")).to_be_visible()
    page.get_by_label("Reason").fill("the rule is gone")
    page.get_by_role("button", name="Redrive").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Redriven")
    pipe.assert_converged("public.orders")
    newest = log_of(pipe.pipeline, pipe.spec).recent(1)[0]
    assert (newest.actor, newest.via, newest.action) == ("Ada", "dashboard", "redrive")
    assert (newest.reason, newest.outcome) == (
        "the rule is gone",
        "written 1, stale 0, refused 0",
    )
    shown.until("IDLE", "OK")
    visitor.close()


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", WIDE), ("light", NARROW)])
def test_every_page_is_accessible(
    shown: Shown, browser: Browser, scheme: Scheme, size: tuple[int, int]
) -> None:
    """In both schemes, and on a telephone; nothing comes from elsewhere."""
    pipe = shown.pipe
    name = pipe.name
    rule = "CHECK (note NOT LIKE '<%') NOT VALID"
    pipe.sink.sql(f"ALTER TABLE orders ADD CONSTRAINT polite {rule}")
    pipe.sql("UPDATE orders SET note = %s WHERE id = 9", EVIL)
    eventually(lambda: shown.get(f"/api/v1/pipelines/{name}/sinks/mirror/parked").json()["letters"])
    letter = shown.get(f"/api/v1/pipelines/{name}/sinks/mirror/parked").json()["letters"][0]
    visitor = Visitor(browser, shown.url, scheme, size)
    visitor.log_in(TOKEN)
    pages = {
        "overview": "/",
        "pipeline": f"/p/{name}",
        "source": f"/p/{name}/source",
        "parked": f"/p/{name}/parked",
        "letter": f"/p/{name}/parked/mirror/{letter['number']}",
        "redrive": f"/p/{name}/parked/mirror/redrive?numbers={letter['number']}",
        "trace": f"/p/{name}/trace?what=orders:8",
        "verify": f"/p/{name}/verify",
        "actions": f"/p/{name}/actions",
        "pause": f"/p/{name}/do/pause",
    }
    for each, path in pages.items():
        page = visitor.goto(path)
        if each in ("overview", "pipeline", "source"):
            expect(page).to_have_title(re.compile("^[A-Z ]+ \\| "))
        if each == "pipeline":
            page.locator(".u-over").first.wait_for()
        assert page.title() != "owned"
        visitor.check(each)
    visitor.close()
    visitor = Visitor(browser, shown.url, scheme, size)
    visitor.goto("/login")
    visitor.check("login")
    visitor.close()
    pipe.sink.sql("ALTER TABLE orders DROP CONSTRAINT polite")
    done = pipe.command("parked", "redrive", "mirror", "--all", "--yes")
    assert done.returncode == 0, done.stderr


def test_keys_pause_and_a_server_that_is_gone(shown: Shown, browser: Browser) -> None:
    """It says that what it shows is old, and goes on by itself; the history is still there."""
    visitor = Visitor(browser, shown.url)
    page = visitor.goto("/")
    expect(page.locator("#tick")).to_have_attribute("data-interval", "1.0")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter by name")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_label("Filter by name").blur()
    page.keyboard.press("j")
    expect(page.locator("a.row").first).to_be_focused()
    page.keyboard.press("p")
    expect(page.get_by_text("Paused: p goes on.")).to_be_visible()
    page.keyboard.press("p")

    points = f"/api/v1/pipelines/{shown.pipe.name}/history?sink=mirror"
    before = eventually(lambda: shown.get(points).json() or None, what="a first look is kept")
    shown.stop(signal.SIGKILL)
    expect(page.get_by_text("has not answered since")).to_be_visible(timeout=15_000)
    shown.start()
    expect(page.get_by_text("has not answered since")).to_be_hidden(timeout=20_000)
    assert shown.get(points).json()[0]["at_s"] == before[0]["at_s"]
    visitor.close()


def test_acts_need_role_token_and_origin(shown: Shown) -> None:
    """On the running server; whatever is missing, nothing is done."""
    name = shown.pipe.name
    act = f"/p/{name}/do/pause"
    with httpx.Client(base_url=shown.url) as nobody:
        assert nobody.post(act, data={"form_token": "x"}).status_code == 403
    with httpx.Client(base_url=shown.url) as operator:
        operator.post("/login", data={"token": TOKEN, "who": "Eve"})
        form = operator.get(act).text.split('name="form_token" value="')[1].split('"')[0]
        here = {"origin": shown.url}
        assert operator.post(act, data={"form_token": form}).status_code == 403
        elsewhere = {"origin": "http://evil.example"}
        assert operator.post(act, data={"form_token": form}, headers=elsewhere).status_code == 403
        assert operator.post(act, data={"form_token": "0" * 64}, headers=here).status_code == 403
        assert log_of(shown.pipe.pipeline, shown.pipe.spec).recent(1)[0].action != "pause"
        assert operator.post(act, data={"form_token": form}, headers=here).status_code == 303
    shown.until("PAUSED")
    bearer = {"authorization": f"Bearer {TOKEN}"}
    resume = f"{shown.url}/api/v1/pipelines/{name}/acts/resume"
    assert httpx.post(resume, json={}, timeout=30).status_code == 403
    assert httpx.post(resume, json={"reason": "on"}, headers=bearer, timeout=30).status_code == 200
    shown.until("IDLE", "OK")
    done = [(e.actor, e.action) for e in log_of(shown.pipe.pipeline, shown.pipe.spec).recent(2)]
    assert done == [("operator token", "resume"), ("Eve", "pause")]


def test_a_comparison_started_on_the_page(shown: Shown, browser: Browser) -> None:
    visitor = Visitor(browser, shown.url)
    visitor.log_in(TOKEN)
    page = visitor.goto(f"/p/{shown.pipe.name}/verify")
    page.get_by_role("button", name="Compare mirror now").click()
    expect(page.get_by_text("Every row is equal")).to_be_visible(timeout=15_000)
    visitor.close()


def test_a_page_is_live_however_late_a_script_comes(shown: Shown, browser: Browser) -> None:
    """Else it would stand still, and say that the server has gone."""
    visitor = Visitor(browser, shown.url)
    page, held = visitor.page, list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/static/hx-sse.js", hold)
    page.goto("/", wait_until="commit")
    eventually(lambda: page.evaluate("window.htmx !== undefined") and held, what="all but one came")
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    with page.expect_response("**/live/**", timeout=10_000) as heard:
        held[0].continue_()
    assert heard.value.ok
    visitor.close()


def test_an_update_comes_by_itself(shown: Shown) -> None:
    """The stream sends the page's part anew with each look."""
    with httpx.stream("GET", f"{shown.url}/live/overview", timeout=10) as stream:
        ids = []
        until_s = time.monotonic() + 20
        for line in stream.iter_lines():
            if line.startswith("id: "):
                ids.append(int(line[4:]))
            if len(ids) == 3 or time.monotonic() > until_s:
                break
    assert len(ids) == 3
    assert ids == sorted(set(ids))


def test_the_api_never_fails(shown: Shown) -> None:
    """Whatever is sent by somebody who may act."""
    schema = schemathesis.openapi.from_url(f"{shown.url}/api/v1/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= 10
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=12, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            answer = case.call(headers={"authorization": f"Bearer {TOKEN}"}, timeout=60)
            assert answer.status_code < 500, answer.text

        check()
