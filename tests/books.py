"""A ledger on the real chain: its event store, and read models that follow it."""

from collections.abc import Mapping
from typing import Any

import psycopg
import yaml

from eventstore import store
from eventstore.contracts import Event
from tailrace.harness.cdc import Cdc
from tests import ledger

DDL = store.STATEMENTS["schema"] + "; CREATE TABLE rows (id int PRIMARY KEY)"
TABLES = ["eventstore.events", "public.rows"]
"""The second one is for the mirror with which a pipeline of the harness comes."""
MODULES = {"one": "one_v1", "many": "many", "sql": "in_sql"}
VIEWS = {"one": "balances", "many": "sums", "sql": "totals"}
RIGHT = """
SELECT stream, sum((data ->> 'amount')::bigint)::bigint, count(*)::int FROM eventstore.events
WHERE type = 'ledger.booked' GROUP BY stream ORDER BY 1
"""


def describe(books: Cdc, modules: Mapping[str, str]) -> None:
    file = yaml.safe_load(books.file.read_text())
    file["sinks"] = {
        name: {"type": "projection", "dsn": books.target_dsn, "module": f"tests.ledger:{attribute}"}
        for name, attribute in modules.items()
    }
    books.file.write_text(yaml.safe_dump(file))


def book(books: Cdc, account: str, *amounts: int) -> None:
    with psycopg.connect(books.source_dsn) as tx:
        events: list[Event] = [ledger.Booked(amount=amount) for amount in amounts]
        events.append(ledger.Noted(text="a\ttab, a \\ and\na line"))
        store.append(tx, ledger.contracts, f"account-{account}", events, expected=store.ANY)


def shown(books: Cdc, view: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(books.target_dsn) as target:
        query = b"SELECT account, amount, events FROM %s.balances ORDER BY 1" % view.encode()
        return target.execute(query).fetchall()


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
