"""The page of the supervisor: what it would do with rows and sagas, and a person's word on that."""

from collections.abc import Iterator

import httpx
import psycopg
import pytest
import yaml
from playwright.sync_api import Browser, expect

from devstack import AnyStack
from examples.tour.booking import office
from supervision import proposals
from supervision.mirror import Finding
from tailrace import saga_sweeps
from tailrace.config import load
from tailrace.destinations import subject_of
from tailrace.harness.factory import Factory
from tests.browser import NARROW, WIDE, Visitor, chromium
from tests.e2e.test_dashboard import EVIL, TOKEN, VIEWER, Shown
from tests.parking import Tours
from tests.post import prepare

HOTEL, FLIGHT = "saga:book-tour/hotel", "saga:book-tour/flight"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


class Desk(Shown):
    """Two sagas parked at the hotel, where approval is asked, one at the flight, at shadow."""

    tours: Tours

    def path(self, rest: str = "") -> str:
        return f"/p/{self.pipe.name}/supervisor{rest}"

    def post(self, path: str, token: str = "", **form: str) -> httpx.Response:
        """As a program with that token does."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{self.url}{path}", data=form, headers=headers, timeout=20)


def put(dsn: str, **rungs: str) -> None:
    with psycopg.connect(dsn) as tx:
        proposals.create_schema(tx)
        for subject, rung in rungs.items():
            proposals.standing(tx, subject)
            tx.execute("UPDATE supervision.rungs SET rung = %s WHERE subject = %s", [rung, subject])


@pytest.fixture(scope="module")
def desk(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("supervisor")
    factory = Factory(stack, folder, update_golden=False)
    pipe = factory("CREATE TABLE t (id int PRIMARY KEY)", ["public.t"], watch_effects=False)
    file = yaml.safe_load(pipe.file.read_text())
    module = {"module": "examples.tour.booking:office", "topics": [f"{pipe.name}.events"]}
    file["sinks"]["office"] = {"type": "subscriber", "dsn": pipe.source_dsn} | module
    pipe.file.write_text(yaml.safe_dump(file))
    with psycopg.connect(pipe.source_dsn) as connection:
        prepare(connection, office)
    tours = Tours(pipe.source_dsn)
    tours.parked(2)
    tours.park(tours.begins()[0], "flight")
    tours.comes_back("hotel")
    tours.comes_back("flight")
    put(pipe.source_dsn, **{HOTEL: "approve", FLIGHT: "shadow"})
    pipeline = load(pipe.file, env={})
    assert [one.problem for one in saga_sweeps.sweep(pipeline)] == [None, None]
    mirror = subject_of(pipeline, "mirror")
    put(pipeline.sinks["mirror"].dsn, **{mirror: "approve"})
    with psycopg.connect(pipeline.sinks["mirror"].dsn) as tx:
        found = Finding("public.t", "changed", {"id": EVIL}, ["note"], "aa", "bb", None)
        proposals.propose(tx, mirror, "approve", found)
    made = Desk(pipe, folder / "history.sqlite")
    made.tours = tours
    yield made
    made.stop()
    factory.close()


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW)]
)
def test_it_looks_right(desk: Desk, browser: Browser, scheme: str, size: tuple[int, int]) -> None:
    visitor = Visitor(browser, desk.url, "dark" if scheme == "dark" else "light", size)
    visitor.log_in(TOKEN)
    page = visitor.goto(desk.path())
    proposed = page.get_by_role("region", name="Proposals")
    expect(proposed.get_by_role("row")).to_have_count(5)
    expect(proposed).to_contain_text("a row of public.t is changed in note")
    expect(proposed).to_contain_text("step hotel was not answered after all its tries")
    visitor.check("supervisor")
    page.get_by_role("link", name="Approve office/").first.click()
    visitor.check("supervisor-approve")
    proposed = visitor.goto(desk.path()).get_by_role("region", name="Proposals")
    proposed.get_by_role("row").filter(has_text="resume").get_by_role("link").last.click()
    expect(page.get_by_text("was not answered after all its tries. Last heard")).to_be_visible()
    visitor.check("saga-parked")
    assert page.title() != "owned"
    visitor.close()


def test_who_may_only_look_may_not_decide(desk: Desk, browser: Browser) -> None:
    visitor = Visitor(browser, desk.url)
    page = visitor.goto(desk.path())
    page.get_by_role("link", name="Approve office/").first.click()
    expect(page.get_by_text("Operators may do this.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    visitor.close()
    assert desk.post(desk.path("/office/1/approve")).status_code == 403
    assert desk.post(desk.path("/office/1/approve"), VIEWER).status_code == 403
    with httpx.Client(base_url=desk.url) as client:
        client.post("/login", data={"token": TOKEN, "who": "Ada"})
        form = {"form_token": "of another session", "reason": "x"}
        origin = {"origin": desk.url}
        forged = client.post(desk.path("/office/1/approve"), data=form, headers=origin)
    assert forged.status_code == 403
    assert "The form is from another session" in forged.text


def test_what_there_is_not_is_said(desk: Desk) -> None:
    assert desk.get(desk.path("/office/1/explode")).status_code == 404
    assert desk.get(desk.path("/nowhere/1/approve")).status_code == 404
    gone = desk.post(desk.path("/office/999/approve"), TOKEN, reason="x")
    assert gone.status_code == 409
    assert "there is no proposal 999" in gone.text
    assert "Say why" in desk.post(desk.path("/office/1/approve"), TOKEN, reason=" ").text


def test_approve_reject_and_judge(desk: Desk, browser: Browser) -> None:
    visitor = Visitor(browser, desk.url)
    visitor.log_in(TOKEN)
    page = visitor.goto(desk.path())
    waiting = page.get_by_role("region", name="Proposals").get_by_role("row")
    newest = page.get_by_role("link", name="Approve office/").first
    id_ = str(newest.get_attribute("aria-label")).removeprefix("Approve ")
    newest.click()
    page.get_by_label("Reason").fill("the hotel is back")
    page.get_by_role("button", name="Approve").click()
    expect(waiting).to_have_count(4)
    again = desk.post(desk.path(f"/{id_}/approve"), TOKEN, reason="a second click")
    assert "It is done, by Ada: the hotel is back" in again.text.replace("&#39;", "'")
    page.get_by_role("link", name="Reject mirror/").click()
    page.get_by_label("Reason").fill("that row is ours")
    page.get_by_role("button", name="Reject").click()
    expect(waiting).to_have_count(3)
    page.get_by_role("link", name="Judge wrong").click()
    page.get_by_label("Reason").fill("not at all")
    page.get_by_role("button", name="Judge wrong").click()
    expect(waiting).to_have_count(2)
    rungs = page.get_by_role("region", name="Rungs").get_by_role("row")
    expect(rungs.filter(has_text=FLIGHT)).to_contain_text("manual")
    visitor.check("supervisor-decided")
    visitor.close()
    with psycopg.connect(desk.tours.dsn) as tx:
        told = "SELECT actor, kind, reason FROM sagas.log WHERE kind IN ('resume', 'resumed')"
        found = tx.execute(told).fetchall()
    assert found == [("Ada", kind, "the hotel is back") for kind in ("resume", "resumed")]
