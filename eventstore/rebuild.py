"""
Filling a version of a projection from the event store, beside the one that readers see.

The ends of the log are noted first and the store is read after that, in one snapshot: an event
that the snapshot lacks was committed after it, so it stands in the log behind those ends. What
stands there and was read as well is known by its stream's position, and dropped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from connectors.spec import EVENTS
from consumer.event import TopicPartition
from eventstore import versions
from eventstore.projecting import blamed, connect, load_batch, project, run_statement
from eventstore.projection import Projection
from eventstore.recorded import Stored
from eventstore.versions import STATEMENTS, State
from sinks import refusal
from sinks.marks import Connection, create_schema
from sinks.writers import await_writers

WINDOW = 10_000  # events of one transaction: what it has replaced can be cleared only after it
SQL_WINDOW = 50_000  # one statement over more of them costs less an event
RUN_BYTES = 1 << 20  # of events' data that pass through Python at once
WRITERS_WITHIN_S = 30.0
NO_LIMIT = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"

Ends = Callable[[], Mapping[TopicPartition, int]]
Progress = Callable[[int, int], None]
"""Called with how far the store was read, and how far it has to be; both in `seq`."""


class Filled(Exception):
    """It is built already, or it cannot be built: the sentence says what is to be done."""


class Unsettled(Exception):
    """It cannot be told what the store holds: build again later."""


def build(
    dsn: str,
    store_dsn: str,
    sink: str,
    projection: Projection,
    ends: Ends,
    progress: Progress,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """
    Fills the version for `sink` and returns the number of its events. What an interrupted run has
    left is thrown away first. The first version of a projection is shown to readers at once.

    With `since` it is made of events from then on; with `until` of those before, and it does not
    follow the log.

    Raises Filled, Unsettled, Busy for what the projection's code raises, and psycopg.Error.
    """
    with (
        connect(dsn, projection) as target,
        psycopg.connect(store_dsn) as store,
        psycopg.connect(store_dsn, autocommit=True) as keys,  # while `store` is in a COPY
    ):
        target.autocommit = True  # each window is committed by itself
        _begin(target, sink, projection)
        marks = ends()
        _await_writers(keys)
        store.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        store.execute(NO_LIMIT)
        window = _Window(projection, since, until)
        count = _fill(store, keys, target, window, progress)
        _finish(store, target, sink, projection, marks, count, "past" if until else "built")
    return count


def _await_writers(store: Connection) -> None:
    """Whoever may be committing when the ends are known."""
    if left := await_writers(store, EVENTS, WRITERS_WITHIN_S):
        raise Unsettled(
            f"{left} transaction(s) that append events have been at work for more than "
            f"{WRITERS_WITHIN_S:.0f} s: wait for their ends, see why they take so long "
            "(pg_stat_activity; a standby that is away?), and build again"
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """Which events there are to read."""

    projection: Projection
    since: datetime | None
    until: datetime | None

    @property
    def size(self) -> int:
        """Of how many `seq`."""
        return WINDOW if self.projection.statement is None else SQL_WINDOW

    def after(self, seq: int) -> sql.Composed:
        return sql.SQL(STATEMENTS["copy_events"]).format(
            after=sql.Literal(seq),
            until=sql.Literal(seq + self.size),
            types=sql.Literal(sorted(self.projection.events)),
            from_at=sql.Literal(self.since or "-infinity"),
            to_at=sql.Literal(self.until or "infinity"),
        )


def _begin(target: Connection, sink: str, projection: Projection) -> None:
    with target.transaction():
        create_schema(target)
        target.execute(STATEMENTS["schema"])
    locked = target.execute(STATEMENTS["lock_build"], [projection.name]).fetchone()
    if locked is None or not locked[0]:
        raise Filled(f"another process builds projection {projection.name} now: wait for it")
    found = versions.find(target, sink)
    if found is not None and (found.state != "filling"):
        raise Filled(
            f"version {found.version} of {found.projection} is built for this sink: raise "
            "`version` in the code and describe that as a sink of another name"
        )
    asked = [projection.name, projection.version, sink]
    if other := target.execute(STATEMENTS["other_sink"], asked).fetchone():
        raise Filled(
            f"version {projection.version} of {projection.name} is that of sink {other[0]}: raise "
            "`version` in the code, or drop that one"
        )
    if versions.is_taken(target, projection.name):
        raise Filled(
            f"schema {projection.name}, in which readers would see it, is not empty or not for "
            "projections: give the projection another name"
        )
    with target.transaction():
        versions.drop(target, sink)
        target.execute(STATEMENTS["begin_build"], [sink, projection.name, projection.version])
        target.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(projection.schema)))
        _make_tables(target, projection)


def _make_tables(target: Connection, projection: Projection) -> None:
    try:
        target.execute(projection.tables)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise Filled(
            f"the database refuses the tables of projection {projection.name} "
            f"({refusal.told(error)}): correct `tables` in its code"
        ) from error


def _fill(
    store: Connection, keys: Connection, target: Connection, window: _Window, progress: Progress
) -> int:
    projection = window.projection
    row = store.execute(STATEMENTS["highest_seq"]).fetchone()
    highest = row[0] if row else 0
    count = 0
    for after in range(0, highest, window.size):
        progress(after, highest)
        query = window.after(after)
        with target.transaction():
            target.execute(NO_LIMIT)
            if projection.statement is None:
                count += project(target, projection, _runs(_rows(store, query)), lambda: keys)
            else:
                until = min(after + window.size, highest)
                with blamed(target, projection, f"between seq {after + 1} and {until}"):
                    if loaded := load_batch(target, _lines(store, query)):
                        run_statement(target, projection)
                    count += loaded
    progress(highest, highest)
    return count


def _runs(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[Stored]]:
    """All of them, no more than RUN_BYTES of data in memory but for one event."""
    run: list[Stored] = []
    size = 0
    for row in rows:
        run.append(Stored._make(row))
        size += len(run[-1].data)
        if size >= RUN_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def _lines(connection: Connection, query: sql.Composed) -> Iterator[bytes]:
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for line in copy:
            yield bytes(line)


def _rows(connection: Connection, query: sql.Composed) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(["text", "int8", "uuid", "text", "int4", "text", "text", "timestamptz"])
        yield from copy.rows()


def _finish(
    store: Connection,
    target: Connection,
    sink: str,
    projection: Projection,
    marks: Mapping[TopicPartition, int],
    count: int,
    state: State,
) -> None:
    with target.transaction():
        target.execute(NO_LIMIT)
        lengths = sql.SQL(STATEMENTS["copy_lengths"]).format(sink=sql.Literal(sink))
        with target.cursor() as cursor, cursor.copy(STATEMENTS["copy_reached"]) as copy:
            for line in _lines(store, lengths):
                copy.write(line)
        topics, numbers = [at.topic for at in marks], [at.partition for at in marks]
        target.execute(STATEMENTS["forget_marks"], [sink])  # a worker may have begun some
        target.execute(STATEMENTS["start_marks"], [sink, topics, numbers, list(marks.values())])
        if not target.execute(STATEMENTS["end_build"], [state, count, sink]).rowcount:
            raise Filled(f"{projection.schema} was dropped while it was built: build it again")
        if state == "built" and versions.live(target, projection.name) is None:
            versions.switch(target, sink)
