"""Read models on the real chain: built, followed, rebuilt beside, switched."""

from collections.abc import Callable

import pytest

from tailrace.harness.cdc import Cdc
from tests.books import DDL, MODULES, TABLE, VIEWS, book, describe, done, right, shown, until_right


@pytest.fixture
def books(cdc: Callable[..., Cdc]) -> Cdc:
    books = cdc(DDL, [TABLE], watch_effects=False, partitions=2)
    describe(books, MODULES)
    return books


def test_every_form_follows_the_log_after_it_was_built(books: Cdc) -> None:
    for number in range(20):
        book(books, str(number % 7), number, -3)
    books.register()
    for sink in MODULES:
        done(books, "projections", "build", sink)
    assert all(shown(books, view) == right(books) for view in VIEWS.values())
    books.start_daemon()
    for number in range(20):
        book(books, str(number % 9), number, 5)
    until_right(books, *VIEWS.values())


def test_a_version_is_built_beside_the_old_one_and_switched_to(books: Cdc) -> None:
    describe(books, {"one": "one_v1", "next": "one_v2"})
    books.register()
    for number in range(10):
        book(books, str(number), number)
    done(books, "projections", "build", "one")
    books.start_daemon()
    book(books, "1", 5)
    done(books, "projections", "build", "next")
    book(books, "2", 7)
    assert "0 row(s) only in the old, 0 only in the new" in done(
        books, "projections", "compare", "next"
    )
    refused = books.command("projections", "drop", "one")
    assert "Readers see balances_v1: switch" in refused.stderr
    done(books, "projections", "switch", "next")
    book(books, "3", 9)
    until_right(books, "balances", "balances_v2", "balances_v1")
    assert "balances v2" in done(books, "projections", "list")
