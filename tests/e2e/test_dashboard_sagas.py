"""The page of sagas: which need somebody, what happened to one, and acts with a reason."""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

import psycopg
import pytest
import yaml
from playwright.sync_api import Browser, expect

from devstack import AnyStack
from examples.tour.booking import BookTour, office
from examples.tour.load import requests
from sagas.orchestrator import start
from tailrace.harness.factory import Factory
from tests.browser import NARROW, WIDE, Visitor, chromium
from tests.e2e.test_dashboard import EVIL, TOKEN, Shown
from tests.post import prepare


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


class Desk(Shown):
    """Sagas whose participants never answer; `ids` are theirs, the first one parked."""

    ids: list[UUID]


@pytest.fixture(scope="module")
def desk(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("sagas")
    factory = Factory(stack, folder, update_golden=False)
    pipe = factory("CREATE TABLE t (id int PRIMARY KEY)", ["public.t"], watch_effects=False)
    file = yaml.safe_load(pipe.file.read_text())
    file["sinks"]["work"] = {
        "type": "subscriber",
        "dsn": pipe.source_dsn,
        "module": "examples.tour.booking:office",
        "topics": [f"{pipe.name}.events"],
    }
    pipe.file.write_text(yaml.safe_dump(file))
    with psycopg.connect(pipe.source_dsn) as connection:
        prepare(connection, office)
        ids = [
            start(connection, office, BookTour, request, id_=id_, actor=EVIL)
            for id_, request in islice(requests(seed=1), 3)
        ]
        connection.execute("UPDATE sagas.saga SET status = 'PARKED' WHERE id = %s", [ids[0]])
    made = Desk(pipe, folder / "history.sqlite")
    made.ids = ids
    yield made
    made.stop()
    factory.close()


def test_look_at_one_and_undo_it(desk: Desk, browser: Browser) -> None:
    parked, other, _ = desk.ids
    visitor = Visitor(browser, desk.url)
    page = visitor.goto(f"/p/{desk.pipe.name}/sagas")
    sagas = page.get_by_role("region", name="Sagas", exact=True)
    first = sagas.get_by_role("row").nth(1)
    expect(first).to_contain_text(str(parked))
    expect(first).to_contain_text("PARKED")
    expect(page.get_by_role("region", name="How many")).to_contain_text("needs somebody")
    sagas.get_by_role("link", name=str(other)).click()
    log = page.get_by_role("region", name="Log of the saga")
    expect(log).to_contain_text("began")
    assert "in full" not in log.inner_text()  # what was said is shown to who may act alone
    visitor.log_in(TOKEN)
    page = visitor.goto(f"/p/{desk.pipe.name}/sagas?saga={other}")
    expect(page.get_by_role("region", name="Log of the saga")).to_contain_text("in full")
    page.get_by_role("link", name="Undo").click()
    page.get_by_label("Reason").fill("the customer called")
    page.get_by_role("button", name="Undo the saga").click()
    expect(page.get_by_role("region", name="Log of the saga")).to_contain_text(
        "the customer called"
    )
    expect(page.get_by_role("region", name="Steps")).to_contain_text("UNDO_SENT")
    assert page.title() != "owned"
    visitor.check("sagas")
    visitor.close()


def test_what_does_not_fit_is_said(desk: Desk, browser: Browser) -> None:
    other = desk.ids[2]
    visitor = Visitor(browser, desk.url)
    visitor.log_in(TOKEN)
    page = visitor.goto(f"/p/{desk.pipe.name}/sagas/{other}/resume")
    page.get_by_label("Reason").fill("why not")
    page.get_by_role("button", name="Resume the saga").click()
    expect(page.get_by_role("alert")).to_contain_text("is not parked")
    visitor.close()
    base = f"/p/{desk.pipe.name}/sagas"
    assert "no saga&#39;s id" in desk.get(f"{base}?saga=17").text
    assert desk.get(f"{base}/{other}/explode").status_code == 404
    assert "There is none of status LOST" in desk.get(f"{base}?status=LOST").text


@pytest.mark.parametrize(("scheme", "size"), [("dark", WIDE), ("light", NARROW)])
def test_it_looks_right(desk: Desk, browser: Browser, scheme: str, size: tuple[int, int]) -> None:
    visitor = Visitor(browser, desk.url, "dark" if scheme == "dark" else "light", size)
    visitor.log_in(TOKEN)
    visitor.goto(f"/p/{desk.pipe.name}/sagas?saga={desk.ids[0]}")
    visitor.check("sagas")
    visitor.close()
