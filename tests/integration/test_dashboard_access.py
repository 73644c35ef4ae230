"""The dashboard over servers that were never heard: who may what; nothing unknown looks good."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import Message

from tailrace.config import Dashboard, load
from tailrace.dashboard import acts, desk, verification
from tailrace.dashboard.access import Access, Refused
from tailrace.dashboard.app import make_app
from tailrace.dashboard.desk import MOST_SEARCHES, MOST_STREAMS, Desk
from tailrace.dashboard.hub import Hub
from tailrace.dashboard.live import Stream, event
from tailrace.dashboard.serve import serve
from tailrace.dashboard.show import clock, render
from tailrace.exits import Problem
from tailrace.parked.choice import Choice
from tailrace.source import spec_of
from tailrace.watch import view
from tailrace.watch.history import History
from tailrace.watch.probes import Probe
from tailrace.watch.sampler import Sampler
from tailrace.watch.servers import Watched
from tailrace.watch.states import State

TOKEN, VIEWER = "operator-token-of-the-tests", "viewer-token-of-the-tests"
HOST = "127.0.0.1:9480"
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
        self.host = HOST
        self.desk = self.with_access()

    def with_access(self, viewer: str | None = None, *, read_only: bool = False) -> Desk:
        access = Access(TOKEN, viewer, read_only=read_only)
        self.desk = Desk(self.hub, access, {"shop": self.watched})
        return self.desk

    def ask(self, path: str, method: str = "GET", **sent: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            app: Any = make_app(self.desk)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            base = f"http://{self.host}"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **sent)

        return asyncio.run(asked())

    def logged_in(self, token: str = TOKEN) -> dict[str, str]:
        """The cookie of a new session, as a header."""
        answer = self.ask("/login", "POST", data={"token": token, "who": "Ada"})
        return {"cookie": answer.headers["set-cookie"].split(";")[0], "origin": f"http://{HOST}"}


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


def test_what_is_paused_does_not_keep_up(site: Site) -> None:
    one = site.hub.latest.pipelines[0]
    paused = msgspec.structs.replace(one.verdict, state=State.PAUSED)
    latest = msgspec.structs.replace(
        site.hub.latest, pipelines=(msgspec.structs.replace(one, verdict=paused),)
    )
    site.desk.hub = SimpleNamespace(  # type: ignore[assignment]
        latest=latest, lags_s=site.hub.lags_s, trouble=None, number=0
    )
    assert "Nothing is wrong, but not everything runs" in site.ask("/").text


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


def test_a_look_that_fails_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen before does not stand for now: on no page, in no API, in no metric."""

    def look() -> view.Snapshot:
        hub.interrupt()  # once is enough
        raise ValueError("secret")

    sampler = Sampler([], interval_s=0.0)
    monkeypatch.setattr(sampler, "look", look)
    hub = Hub(sampler, History(None))
    hub.latest = site.hub.latest
    hub.start()
    hub._thread.join(10)
    hub.stop()
    site.desk.hub = hub
    page = site.ask("/").text
    assert "The look failed (ValueError)" in page
    assert "keeps up" not in page
    assert "secret" not in page
    assert site.ask("/api/v1/snapshot").json()["pipelines"] == []
    assert site.ask("/api/v1/pipelines/shop").status_code == 503


def test_since_when_after_the_clock_was_set_back(opened: tuple[Watched, Hub]) -> None:
    sampler = opened[1]._sampler
    now_s = time.time()
    assert sampler.look(now_s + 3600).pipelines[0].verdict.since_s <= now_s + 3600
    assert sampler.look(now_s).pipelines[0].verdict.since_s == now_s


def test_text_of_servers_ends_no_event_early() -> None:
    """A carriage return in it would end a line, and hide or forge what follows."""
    assert event(7, "a\rid: 9\r\nb\n\nc") == (
        "id: 7\ndata: a\ndata: id: 9\ndata: b\ndata: \ndata: c\n\n"
    )


def test_so_many_streams_and_no_more(site: Site) -> None:
    """Exactly, however many come at once; each that ends makes room."""

    async def opened() -> list[BaseException | None]:
        ends = asyncio.Event()

        async def events() -> AsyncIterator[str]:
            await ends.wait()
            yield ""

        async def receive() -> Message:
            await ends.wait()
            return {"type": "http.disconnect"}

        async def send(_: Message) -> None:
            pass

        streams = [
            asyncio.ensure_future(Stream(site.desk, events())({"type": "http"}, receive, send))
            for _ in range(MOST_STREAMS + 3)
        ]
        await asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED)
        assert site.desk.streams == MOST_STREAMS
        ends.set()
        return await asyncio.gather(*streams, return_exceptions=True)

    ended = asyncio.run(opened())
    assert sum(isinstance(each, Refused) for each in ended) == 3
    assert site.desk.streams == 0


def test_a_form_that_never_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who is not even logged in could hold all connections with it."""
    monkeypatch.setattr(desk, "FORM_WITHIN_S", 0.01)

    async def parts() -> AsyncIterator[bytes]:
        yield b"token="
        await asyncio.Event().wait()

    assert site.ask("/login", "POST", content=parts()).status_code == 408


def test_searches_leave_threads_for_the_rest(site: Site) -> None:
    """Any page that a browser has open can ask for many."""
    with ExitStack() as under_way:
        for _ in range(MOST_SEARCHES):
            under_way.enter_context(site.desk.search())
        for path in ("parked", "parked/mirror/1", "trace?what=1"):
            answer = site.ask(f"/p/shop/{path}")
            assert answer.status_code == 503
            assert "searches are under way" in answer.text
        for path in ("sinks/mirror/parked", "sinks/mirror/parked/groups", "trace?what=1"):
            assert site.ask(f"/api/v1/pipelines/shop/{path}").status_code == 503
        assert site.ask("/p/shop").status_code == 200
    with site.desk.search():
        assert site.ask("/").status_code == 200


@pytest.mark.parametrize("at_s", [1e15, -1e15, float("inf"), float("nan")])
def test_a_record_may_claim_any_time(at_s: float) -> None:
    """The page shows it all the same, with the records around it."""
    assert "after 1970" in clock(at_s)


def test_a_comparison_that_broke_off_is_not_equal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever broke it."""

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(verification, "connect", broken)
    run = verification.Run("Ada", 0.0)
    with pytest.raises(KeyError):
        verification._compare(site.watched, "mirror", run)
    assert run.ended_at_s is not None
    assert "failed" in run.problem


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


def test_a_read_only_dashboard_does_not_even_try(site: Site, dry_runs: list[str | None]) -> None:
    """A try takes locks."""
    site.with_access(read_only=True)
    page = site.ask("/p/shop/parked/mirror/redrive?kind=", headers=site.logged_in())
    assert "read-only" in page.text
    assert dry_runs == []


@pytest.mark.parametrize("numbers", ["", "-1", "9" * 19, "1" * 20, "1,x", "\u0661", "1," * 1001])
def test_letters_are_those_that_were_named(
    site: Site, dry_runs: list[str | None], numbers: str
) -> None:
    """No other number is made of what was sent, and none is not all."""
    sent = {"numbers": numbers, "reason": "why", "form_token": "x"}
    asked = site.ask("/p/shop/parked/mirror/discard", params=sent)
    assert (asked.status_code in (400, 422), dry_runs) == (True, [])


def test_what_nobody_expected_is_guarded_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of ours has the headers that every page has, and tells no secret."""

    def broken(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(acts, "numbers_of", broken)
    answer = site.ask("/p/shop/parked/mirror/discard")
    assert answer.status_code == 500
    assert "RuntimeError" in answer.text
    assert "secret" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1:9480", 200), ("LOCALHOST", 200), ("[::1]:9480", 200), ("127.0.0.2", 200)),
        *(("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("[::1", 421)),
    ],
)
def test_what_is_open_answers_to_loopback_only(site: Site, host: str, status: int) -> None:
    """Else a page elsewhere could have its own name point here, and read."""
    assert site.ask("/livez", headers={"host": host}).status_code == status


def test_other_cookies_and_wrong_tokens_shut_nobody_out(site: Site) -> None:
    """Other servers on this machine set cookies, too; any page can send wrong tokens."""
    for _ in range(20):
        sent = {"token": "wrong", "who": "Eve"}
        assert site.ask("/login", "POST", data=sent).status_code == 403
    cookie = site.logged_in()["cookie"]
    page = site.ask("/", headers={"cookie": f'theme={{"dark": [1]}}; {cookie}; a b=c'})
    assert "Ada" in page.text
    forged = cookie.replace("=2.", "=1.")
    assert "Ada" not in site.ask("/", headers={"cookie": forged}).text


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", "http://127.0.0.1:9481", "http://Eve@127.0.0.1:9480", ""],
)
def test_forms_come_from_this_origin(site: Site, origin: str) -> None:
    """With the right token of the form, and the right cookie."""
    headers = site.logged_in()
    page = site.ask("/p/shop/do/pause", headers=headers)
    form = page.text.split('name="form_token" value="')[1].split('"')[0]
    sent = {"data": {"form_token": form}, "headers": headers | {"origin": origin}}
    refused = site.ask("/p/shop/do/pause", "POST", **sent)
    assert refused.status_code == 403
    assert "did not come from a page" in refused.text


def test_who_is_not_logged_in_learns_nothing(site: Site) -> None:
    """Not even which pipelines there are; a viewer may look, and do nothing."""
    site.with_access(VIEWER)
    for path in ("/", "/p/shop", "/p/other", "/p/shop/trace", "/p/shop/parked/mirror/1"):
        answer = site.ask(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?to={path}")
    answer = site.ask("/p/shop/trace?what=1&since=2h")
    assert answer.headers["location"] == "/login?to=/p/shop/trace%3Fwhat%3D1%26since%3D2h"
    for path in ("/metrics", "/api/v1/snapshot", "/live/overview", "/api/v1/pipelines/shop"):
        assert site.ask(path).status_code == 401, path
    assert site.ask("/livez").status_code == 200
    bearer = {"authorization": f"Bearer {VIEWER}"}
    assert site.ask("/metrics", headers=bearer).status_code == 200
    assert site.ask(
        "/api/v1/pipelines/shop/acts/pause", "POST", json={}, headers=bearer
    ).json() == {
        "error": "To act, log in with the operator's token.",
        "code": None,
    }


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/x"]
)
def test_a_login_leads_nowhere_else(site: Site, to: str) -> None:
    answer = site.ask("/login", "POST", data={"token": TOKEN, "who": "Ada", "to": to})
    assert answer.headers["location"] in ("/", "/%09/x")
    assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))


def test_a_start_without_a_place_for_the_history(site: Site, tmp_path: Path) -> None:
    """One sentence, before anything is served, and before the token is written."""
    taken = tmp_path / "file"
    taken.write_text("")
    pipeline = msgspec.structs.replace(site.watched.pipeline, dashboard=Dashboard(port=0))
    watched = [Watched(pipeline, site.watched.spec)]
    with pytest.raises(Problem, match="TR-DSH-002"):
        serve(watched, taken / "history.sqlite", read_only=False, say=lambda _: None)


def test_discarding_none_is_not_discarding_all(site: Site) -> None:
    """Before any server is asked."""
    sent = {"json": {"numbers": [], "reason": "why"}}
    headers = {"authorization": f"Bearer {TOKEN}"}
    path = "/api/v1/pipelines/shop/sinks/mirror/parked/discard"
    answer = site.ask(path, "POST", headers=headers, **sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "TR-PRK-002")
