"""Read models on the real chain: built, followed, rebuilt beside, switched."""

from collections.abc import Callable

import psycopg
import pytest
import yaml

from eventstore import store
from tailrace.harness.cdc import Cdc
from tests import ledger
from tests.books import DDL, MODULES, TABLES, VIEWS, book, describe, done, right, shown, until_right


@pytest.fixture
def books(cdc: Callable[..., Cdc]) -> Cdc:
    books = cdc(DDL, TABLES, watch_effects=False, partitions=2)
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


def test_a_snapshot_of_long_streams_after_a_build(books: Cdc) -> None:
    """Rows of a stream have one key and one LSN then, and come in several batches."""
    describe(books, {"one": "one_v1"})
    file = yaml.safe_load(books.file.read_text())
    file["sinks"]["one"]["batch"] = {"max_events": 3}
    books.file.write_text(yaml.safe_dump(file))
    book(books, "1", 1)
    early = psycopg.connect(books.source_dsn)
    store.append(early, ledger.contracts, "account-9", [ledger.Booked(amount=9)], expected=0)
    done(books, "projections", "build", "one")
    for number in range(20):
        book(books, str(number % 2), number)
    early.commit()
    early.close()
    books.register()
    books.start_daemon()
    until_right(books, "balances")


def test_what_cannot_be_done_is_told(books: Cdc) -> None:
    describe(books, {"one": "one_v1", "next": "one_v2"})
    told(books, "is not built", "switch", "one")
    lag = books.command("lag")
    assert "The version of sink one is not built, so nothing follows the log" in lag.stdout
    assert "snapshot" not in lag.stdout
    told(
        books, "--since must be before", "build", "one", "--since=2030-01-01", "--until=2029-01-01"
    )
    done(books, "projections", "build", "one")
    done(books, "projections", "build", "next")
    with psycopg.connect(books.target_dsn) as target:
        target.execute("CREATE VIEW mine AS SELECT * FROM balances.balances")
    told(books, "view public.mine depends on view balances.balances", "switch", "next")
    with psycopg.connect(books.target_dsn) as target:
        target.execute("DROP VIEW mine")
    with psycopg.connect(books.target_dsn) as reader:
        reader.execute("SELECT * FROM balances.balances")
        told(books, "wait for its end", "switch", "next")
    with psycopg.connect(books.target_dsn) as target:
        target.execute("DELETE FROM eventstore.reached")
    done(books, "projections", "switch", "next", "--differing")
    done(books, "projections", "drop", "one")
    book(books, "1", 1)
    done(books, "projections", "build", "one", "--until=2030-01-01")
    told(books, "built with --until and does not follow the log", "compare", "one")
    told(books, "built with --until and does not follow the log", "switch", "one")


def told(books: Cdc, sentence: str, *words: str) -> None:
    ended = books.command("projections", *words)
    assert sentence in ended.stderr, ended.stderr
    assert ended.returncode in (1, 2, 75)
    assert "Traceback" not in ended.stderr


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
