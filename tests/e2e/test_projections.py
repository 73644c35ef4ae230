"""Read models on the real chain: built, followed, rebuilt beside, switched."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import yaml

from eventstore import store
from tailrace.harness.cdc import Cdc
from tests import ledger

MODULES = {"one": "one_v1", "many": "many", "sql": "in_sql"}
VIEWS = {"one": "balances", "many": "sums", "sql": "totals"}
RIGHT = """
SELECT stream, sum((data ->> 'amount')::bigint)::bigint, count(*)::int FROM eventstore.events
WHERE type = 'ledger.booked' GROUP BY stream ORDER BY 1
"""
DDL = store.STATEMENTS["schema"]


@pytest.fixture
def books(cdc: Callable[..., Cdc]) -> Cdc:
    books = cdc(DDL, ["eventstore.events"], watch_effects=False, partitions=2)
    describe(books, MODULES)
    return books


def describe(books: Cdc, modules: dict[str, str]) -> None:
    file = yaml.safe_load(books.file.read_text())
    file["sinks"] = {
        name: {"type": "projection", "dsn": books.target_dsn, "module": f"tests.ledger:{attribute}"}
        for name, attribute in modules.items()
    }
    books.file.write_text(yaml.safe_dump(file))


def book(books: Cdc, account: str, *amounts: int) -> None:
    with psycopg.connect(books.source_dsn) as tx:
        events = [ledger.Booked(amount=amount) for amount in amounts]
        noted = [ledger.Noted(text="a\ttab, a \\ and\na line")]
        store.append(tx, ledger.contracts, f"account-{account}", events + noted, expected=store.ANY)


def shown(books: Cdc, view: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(books.target_dsn) as target:
        query = f"SELECT account, amount, events FROM {view}.balances ORDER BY 1"
        return target.execute(query.encode()).fetchall()


def right(books: Cdc) -> list[tuple[Any, ...]]:
    with psycopg.connect(books.source_dsn) as source:
        return source.execute(RIGHT).fetchall()


def done(books: Cdc, *words: str) -> str:
    ended = books.command(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def until_right(books: Cdc, *views: str) -> None:
    books.eventually(
        lambda: all(shown(books, view) == right(books) for view in views), 60, "the read models"
    )


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
