"""
Eight writers whose transactions overlap, and the truth about what they committed.

The load is made of what Debezium's resume filter misjudges: transactions that commit in another
order than they wrote, several changes under one LSN (COPY, changes of a key), deletes.
"""

import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import sql

TABLES = ("orders", "pages")
WRITERS = 8
_ROUNDS_A_SECOND = 4
_CHANGE = re.compile(
    r"table public\.(?P<table>\w+): (?P<op>INSERT|UPDATE|DELETE):"
    r"(?: old-key: id\[bigint\]:(?P<old>-?\d+) new-tuple:)? id\[bigint\]:(?P<key>-?\d+)"
)


class Identity(NamedTuple):
    """What makes a change the same change however often it is sent."""

    table: str
    lsn: int
    key: int
    op: str


def create_tables(connection: psycopg.Connection[Any]) -> None:
    """In `pages` a page holds about three rows, so that a COPY has many short groups of one LSN."""
    connection.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, note text);"
        "CREATE TABLE pages (id bigint PRIMARY KEY, note text) WITH (fillfactor = 10)"
    )


class Writers:
    """Writes from entry to exit; the rounds of all writers start together, so that they overlap."""

    def __init__(self, dsn: str, seed: int) -> None:
        self._dsn = dsn
        self._stop = threading.Event()
        self._together = threading.Barrier(WRITERS)
        self._failures: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(seed + number)))
            for number in range(WRITERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self._failures == []

    def _run(self, number: int, chance: random.Random) -> None:
        try:
            with psycopg.connect(self._dsn) as connection:
                for key in range(number, 1 << 40, WRITERS * 1000):
                    self._together.wait(timeout=60)
                    self._round(connection, key, chance)
                    if self._together.wait(timeout=60) == 0:
                        self._stop.wait(1 / _ROUNDS_A_SECOND)
                        if self._stop.is_set():
                            self._together.abort()
        except threading.BrokenBarrierError:
            assert self._stop.is_set()
        except Exception as error:
            self._failures.append(error)
            self._together.abort()

    def _round(self, connection: psycopg.Connection[Any], key: int, chance: random.Random) -> None:
        """`key` and the next 999 keys of this writer are free."""
        keys = [key + i * WRITERS for i in range(100)]
        with connection.transaction():
            connection.execute("INSERT INTO orders VALUES (%s, 'first')", [keys[0]])
            if chance.random() < 0.6:
                self._copy(connection, keys[: chance.randrange(2, 15)])
            self._stop.wait(chance.random() / 100)
            connection.execute("INSERT INTO orders VALUES (%s, 'second')", [keys[1]])
        with connection.transaction():
            if chance.random() < 0.8:
                change = "UPDATE orders SET id = %s WHERE id = %s"
                connection.execute(change, [keys[2], keys[0]])
            else:
                connection.execute("UPDATE orders SET note = 'u' WHERE id = %s", [keys[0]])
            connection.execute("DELETE FROM orders WHERE id = %s", [keys[1]])

    @staticmethod
    def _copy(connection: psycopg.Connection[Any], keys: list[int]) -> None:
        with connection.cursor().copy("COPY pages FROM STDIN") as copy:
            for key in keys:
                copy.write_row((key, "n" * 250))


@contextmanager
def witness(connection: psycopg.Connection[Any], slot: str) -> Iterator[None]:
    """A slot that nobody disturbs; `committed` reads from it."""
    name = sql.Literal(slot)
    create = "SELECT pg_create_logical_replication_slot({}, 'test_decoding')"
    connection.execute(sql.SQL(create).format(name))
    try:
        yield
    finally:
        connection.execute(sql.SQL("SELECT pg_drop_replication_slot({})").format(name))


def committed(connection: psycopg.Connection[Any], slot: str) -> Counter[Identity]:
    """Every change that was committed since `witness` began, as Debezium should name it."""
    query = sql.SQL(
        "SELECT lsn - '0/0', data FROM pg_logical_slot_peek_changes({}, NULL, NULL) "
        "WHERE data LIKE 'table public.%'"
    ).format(sql.Literal(slot))
    found: Counter[Identity] = Counter()
    for lsn, data in connection.execute(query):
        match = _CHANGE.match(data)
        assert match, data
        found.update(_identities(int(lsn), match))
    return found


def _identities(lsn: int, match: re.Match[str]) -> list[Identity]:
    table, key = match["table"], int(match["key"])
    if match["old"] is None:
        return [Identity(table, lsn, key, match["op"][0].lower().replace("i", "c"))]
    return [Identity(table, lsn, int(match["old"]), "d"), Identity(table, lsn, key, "c")]
