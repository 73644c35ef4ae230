"""The dashboard over servers that were never heard: who may what, and that nothing unknown looks good."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tailrace.config import load
from tailrace.dashboard import acts, verification
from tailrace.dashboard.access import Access
from tailrace.dashboard.app import make_app
from tailrace.dashboard.desk import Desk
from tailrace.dashboard.hub import Hub
from tailrace.dashboard.show import render
from tailrace.parked.choice import Choice
from tailrace.source import spec_of
from tailrace.watch import view
from tailrace.watch.history import History
from tailrace.watch.probes import Probe
from tailrace.watch.sampler import Sampler
from tailrace.watch.servers import Watched

TOKEN, VIEWER = "operator-token-of-the-tests", "viewer-token-of-the-tests"
HERE = "http://127.0.0.1:9480"
FILE = """
pipeline: shop
source:
  dsn: "host=127.0.0.1 port=1 dbname=source"
  password_reference: "${file:/etc/connect/shop.properties:password}"
  placeholder: aaaaaaaaaaaaaaaa
  tables: [public.orders]
sinks: {mirror: {type: postgres, dsn: "host=127.0.0.1 port=1 dbname=target"}}
connect: {url: "http://127.0.0.1:1"}
kafka: {bootstrap: "127.0.0.1:1"}
redis: {url: "redis://127.0.0.1:1/0"}
"""


class Site:
    """The application, asked without a network between."""

    def __init__(self, watched: Watched, hub: Hub) -> None:
        self.watched = watched
        self.hub = hub
        self.desk = self.with_access()

    def with_access(self, viewer: str | None = None, *, read_only: bool = False) -> Desk:
        access = Access(TOKEN, viewer, read_only=read_only)
        self.desk = Desk(self.hub, access, {"shop": self.watched})
        return self.desk

    def ask(self, path: str, method: str = "GET", **sent: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            app: Any = make_app(self.desk)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await client.request(method, path, **sent)

        return asyncio.run(asked())

    def logged_in(self, token: str = TOKEN) -> dict[str, str]:
        """The cookie of a new session, as a header."""
        answer = self.ask("/login", "POST", data={"token": token, "who": "Ada"})
        return {"cookie": answer.headers["set-cookie"].split(";")[0], "origin": HERE}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, Hub]]:
    file = tmp_path_factory.mktemp("away") / "pipeline.yaml"
    file.write_text(FILE)
    pipeline = load(file, env={})
    watched = Watched(pipeline, spec_of(pipeline))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Probe, "start", lambda probe: None)
        sampler = Sampler([watched])
    hub = Hub(sampler, History(None))
    hub.latest = sampler.look()
    yield watched, hub
    hub.stop()


@pytest.fixture
def site(opened: tuple[Watched, Hub]) -> Site:
    return Site(*opened)


def test_a_filter_does_not_make_all_well(site: Site) -> None:
    """What it hides still needs a look."""
    for path in ("/", "/?state=OK", "/?q=other"):
        assert "1 of 1 pipeline needs a look" in site.ask(path).text, path


def test_a_server_that_was_not_heard_does_not_answer_yes(site: Site) -> None:
    one = site.hub.latest.pipelines[0]
    server = view.Server("kafka", None, None)
    page = render(
        "pipeline_live.html",
        one=msgspec.structs.replace(one, servers=(server,)),
        snapshot=site.hub.latest,
        trouble=None,
    )
    assert '<th scope="row">kafka</th><td>?</td>' in page


def test_a_comparison_that_broke_off_is_not_equal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever broke it."""

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(verification, "connect", broken)
    run = verification.Run("Ada", 0.0)
    verification._compare(site.watched, "mirror", run)
    assert run.ended_at_s is not None
    assert "KeyError" in run.problem
    assert "secret" not in run.problem


@pytest.fixture
def dry_runs(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The kinds that were tried, without a server."""
    tried: list[str | None] = []

    def chosen(watched: Watched, sink: str, numbers: list[int], kind: str | None) -> Choice:
        tried.append(kind)
        return Choice(sink, "log", "all", {})

    monkeypatch.setattr(acts, "chosen", chosen)
    return tried


def test_all_letters_can_be_redriven(site: Site, dry_runs: list[str | None]) -> None:
    """The form sends the empty kind, which means all; without it, it means none."""
    page = site.ask("/p/shop/parked/mirror/redrive?kind=", headers=site.logged_in())
    assert '<input type="hidden" name="kind" value="">' in page.text
    assert dry_runs == [""]
