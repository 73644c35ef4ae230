"""What a server says about its own rows: columns, digests of buckets, and rows by key."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from sinks.target import load_statements

Connection = psycopg.Connection[Any]
Buckets = dict[int, tuple[int, int]]
"""By bucket: how many rows, and the exclusive or of their digests."""
Progress = Callable[[str, int, int], None]
"""Told (table, rows read on both sides so far, rows expected); from two threads, in turn."""

_SQL = load_statements(Path(__file__).with_name("digests.sql"))
_PAGES = 2048  # 16 MiB a statement: progress every few tenths of a second
_BUCKETS = 1024
_LAST_PAGE = 2**32 - 1
_FETCH_ROWS = 5000


class Incomparable(Exception):
    """Why two tables cannot be compared, as a sentence."""


class Row(NamedTuple):
    """A row as the comparison sees it; rows come in the order of `order`."""

    order: bytes
    digest: int
    key: tuple[str, ...]


class Tally:
    """Rows read on both sides, for whoever wants to watch."""

    def __init__(self, table: str, progress: Progress) -> None:
        self._table = table
        self._progress = progress
        self._done = self._expected = 0
        self._lock = threading.Lock()

    def expect(self, rows: int) -> None:
        """So many more."""
        self._expected = self._done + rows

    def add(self, rows: int) -> None:
        """So many were read."""
        with self._lock:
            self._done += rows
            self._expected = max(self._expected, self._done)
            self._progress(self._table, self._done, self._expected)


class Side:
    """One table on one server."""

    def __init__(self, connection: Connection, table: str) -> None:
        self._connection = connection
        self._table = sql.Identifier(*table.split(".", 1))
        found = self._ask(_SQL["columns"], table.split(".", 1))
        self.exists = bool(found)
        self.columns = [name for _, name, _, generated in found if not generated]
        places = {place: name for _, name, place, _ in found if place is not None}
        self.key = [places[place] for place in sorted(places)]
        oid = found[0][0] if found else None
        self.pages, self.rows = self._ask(_SQL["size"], (oid, oid))[0]

    def buckets(self, columns: Sequence[str], tally: Tally, stop: threading.Event) -> Buckets:
        """Count and digest of the rows of each bucket, a range of pages at a time."""
        query = self._compose("fingerprints", columns)
        found: Buckets = {}
        for first in range(0, self.pages + 1, _PAGES):
            if stop.is_set():
                break
            end = first + _PAGES if first + _PAGES <= self.pages else _LAST_PAGE
            read = 0
            for bucket, rows, digest in self._ask(query, (f"({first},0)", f"({end},0)")):
                rows_before, before = found.get(bucket, (0, 0))
                found[bucket] = (rows_before + rows, before ^ digest)
                read += rows
            tally.add(read)
        return found

    def by_key(
        self, key: Sequence[str], columns: Sequence[str], buckets: set[int], tally: Tally
    ) -> Iterator[Row]:
        """The rows of these buckets, in an order that is the same on every server."""
        query = self._compose("rows", columns, key)
        with self._connection.cursor(f"tailrace_{id(self)}", row_factory=tuple_row) as cursor:
            cursor.execute(query, (sorted(buckets),))
            while fetched := cursor.fetchmany(_FETCH_ROWS):
                tally.add(len(fetched))
                for order, digest, *texts in fetched:
                    yield Row(order, digest, tuple(texts))

    def values(self, columns: Sequence[str], key: dict[str, str]) -> tuple[str | None, ...]:
        """The columns of one row as texts."""
        return self._ask(self._compose("values", columns, list(key)), list(key.values()))[0]

    def _compose(self, name: str, columns: Sequence[str], key: Sequence[str] = ()) -> sql.Composed:
        return sql.SQL(_SQL[name]).format(
            table=self._table,
            key=_names(key),
            key_texts=_texts(key),
            texts=_texts(columns),
            values=sql.SQL(", ").join([sql.Placeholder()] * len(key)),
            mask=sql.Literal(_BUCKETS - 1),
            digest=sql.SQL(_SQL["digest"]).format(columns=_names(columns)),
        )

    def _ask(self, query: Any, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(query, parameters).fetchall()


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """One view of the data, and one way to write values as text, until the end of the block."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        same_texts(connection)
        yield


def same_texts(connection: Connection) -> None:
    """One way to write values as text, until the end of the transaction."""
    connection.execute(_SQL["settings"])


def both_buckets(
    ours: Side, theirs: Side, columns: Sequence[str], tally: Tally
) -> tuple[Buckets, Buckets]:
    """The buckets of both sides at once: two servers work in the time of one."""
    tally.expect(ours.rows + theirs.rows)
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(s.buckets, columns, tally, stop) for s in (ours, theirs))
        try:
            return first.result(), second.result()
        finally:
            stop.set()


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _texts(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in columns)
