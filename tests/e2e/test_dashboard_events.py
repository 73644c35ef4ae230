"""The page of events over a real store: read models, and what happened to a stream."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Browser, expect

from devstack import AnyStack
from eventstore import store
from eventstore.recorded import Meta
from tailrace.harness.factory import Factory
from tests import ledger
from tests.books import DDL, TABLES, book, describe, done
from tests.browser import NARROW, WIDE, Visitor, chromium
from tests.e2e.test_dashboard import EVIL, TOKEN, Shown


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("events")
    factory = Factory(stack, folder, update_golden=False)
    books = factory(DDL, TABLES, watch_effects=False)
    describe(books, {"balances": "one_v1", "next": "one_v2"})
    books.register()
    book(books, "42", 7, 8)
    with psycopg.connect(books.source_dsn) as tx:
        noted = [ledger.Noted(text=EVIL)]
        meta = Meta(actor="ada", correlation="r-1")
        store.append(tx, ledger.contracts, "account-42", noted, expected=store.ANY, meta=meta)
    done(books, "projections", "build", "balances")
    opened = Shown(books, folder / "history.sqlite")
    yield opened
    opened.stop()
    factory.close()


def test_read_models_and_the_past_of_a_stream(shown: Shown, browser: Browser) -> None:
    path = f"/p/{shown.pipe.name}/events?stream=account-42"
    visitor = Visitor(browser, shown.url)
    page = visitor.goto(path)
    models = page.get_by_role("region", name="Read models")
    expect(models.get_by_role("row").nth(1)).to_contain_text("balances v1")
    expect(models.get_by_role("row").nth(1)).to_contain_text("yes")
    expect(models.get_by_role("row").nth(2)).to_contain_text("tailrace projections build next")
    stream = page.get_by_role("region", name="Events of account-42")
    expect(stream.get_by_role("row").nth(4)).to_contain_text("ada")
    assert "onerror" not in page.content()  # who may only look is not told what an event says
    visitor.log_in(TOKEN)
    page = visitor.goto(path)
    expect(page.get_by_role("region", name="Events of account-42")).to_contain_text("onerror")
    page.get_by_role("link", name="2", exact=True).click()
    expect(page.locator("dl")).to_contain_text("amount")
    assert page.title() != "owned"
    visitor.check("events")
    visitor.close()
    for wanted, told in (("account-7", "There is no such stream."), ("'; --", "no such stream")):
        assert told in shown.get(f"/p/{shown.pipe.name}/events?stream={wanted}").text


@pytest.mark.parametrize(("scheme", "size"), [("dark", WIDE), ("light", NARROW)])
def test_it_looks_right(shown: Shown, browser: Browser, scheme: str, size: tuple[int, int]) -> None:
    visitor = Visitor(browser, shown.url, "dark" if scheme == "dark" else "light", size)
    visitor.log_in(TOKEN)
    visitor.goto(f"/p/{shown.pipe.name}/events?stream=account-42&version=2")
    visitor.check("events")
    visitor.close()
