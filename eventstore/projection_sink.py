"""
A projection as a sink of the loop: effects, marks and each stream's position in one transaction.

An event is known by its stream and position, so a repeat is dropped whoever repeats it, and one
that the log lost is missed at the next: it is then read from the event store, which has the truth.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from consumer.errors import Busy, Fenced, Refused, Rejected
from consumer.event import Batch, ChangeEvent, Mark, Outcome, TopicPartition
from eventstore.projecting import connect, project
from eventstore.projection import Projection
from eventstore.recorded import Stored
from eventstore.travel import sift, stored
from eventstore.versions import STATEMENTS, Build, find
from sinks import refusal
from sinks.marks import SESSION, Ledger

MOST_MISSING = 10_000  # of one stream, read from the store in one go

Connection = psycopg.Connection[Any]


class ProjectionSink:
    """
    Keeps the version of `projection` that was built for `sink`. `store_dsn` is the event store's
    database, asked only for events that the log left out. `reached` is called at each step.
    """

    def __init__(
        self,
        dsn: str,
        sink: str,
        projection: Projection,
        store_dsn: str,
        *,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._dsn = dsn
        self._store_dsn = store_dsn
        self._sink = sink
        self._projection = projection
        self._ledger = Ledger(sink)
        self._reached = reached
        self._connection: Connection | None = None
        self._store_connection: Connection | None = None

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        """Raises Busy until it is built, and Refused where another version was."""
        with self._at_work() as connection:
            self._check(find(connection, self._sink))
            return self._ledger.claim(connection, partitions)

    def apply(self, batch: Batch) -> Outcome:
        with self._at_work() as connection:
            return self._apply(connection, batch)

    def close(self) -> None:
        for connection in (self._connection, self._store_connection):
            if connection is not None:
                connection.close()

    @contextmanager
    def _at_work(self) -> Iterator[Connection]:
        mend = "mend its code and restart; nothing is lost"
        with refusal.closing(self.close, f"projection {self._projection.name}", mend):
            yield self._connect()

    def _apply(self, connection: Connection, batch: Batch) -> Outcome:
        if self._ledger.has(connection, batch):
            return Outcome(len(batch.changes), 0, 0)
        events = _events(batch.changes)
        streams = list({event.stream for event in events})
        with connection.pipeline():
            moved = self._ledger.advance(connection, batch)
            found = connection.execute(STATEMENTS["next_positions"], [self._sink, streams])
        self._check_moved(connection, moved, batch)
        self._reached("advanced")
        next_pos = dict(found.fetchall())
        sifted = sift(events, next_pos)
        if sifted.has_gaps:
            sifted = sift(self._filled(batch.changes, events, next_pos), next_pos)
        if sifted.fresh:
            project(connection, self._projection, [sifted.fresh], self._store)
            columns = list(sifted.next_pos), list(sifted.next_pos.values())
            connection.execute(STATEMENTS["reach"], [self._sink, *columns])
        self._reached("before commit")
        self._ledger.commit(connection)
        self._reached("after commit")
        written = min(len(sifted.fresh), len(events))
        return Outcome(written, 0, len(events) - written)

    def _filled(
        self, changes: Sequence[ChangeEvent], events: Sequence[Stored], next_pos: Mapping[str, int]
    ) -> list[Stored]:
        """The events with those that are missing before them. Raises Rejected and Busy."""
        filled: list[Stored] = []
        reached = dict(next_pos)
        refused: list[tuple[ChangeEvent, str]] = []
        for change, event in zip(changes, events, strict=True):
            start = reached.get(event.stream, 0)
            if event.pos > start:
                missing = _missing(self._store(), event, start)
                if len(missing) < event.pos - start:
                    refused.append((change, _unknown(event, start + len(missing))))
                    continue
                filled += missing
            filled.append(event)
            reached[event.stream] = max(start, event.pos + 1)
        if refused:
            raise Rejected(refused)
        return filled

    def _check_moved(
        self, connection: Connection, moved: psycopg.Cursor[Any], batch: Batch
    ) -> None:
        try:
            self._ledger.check(moved, batch)
        except Fenced:  # or the version was dropped, and its marks with it
            self._check(find(connection, self._sink))
            raise

    def _check(self, build: Build | None) -> None:
        ours = self._projection
        if build is not None and build.state == "past":
            raise Busy(
                f"version {build.version} of projection {build.projection} was built of events up "
                "to a time, so it does not follow the log: drop it and build it without --until"
            )
        if build is None or build.state != "built":
            what = "is being built" if build else "is not built"
            raise Busy(
                f"version {ours.version} of projection {ours.name} {what} for this sink: "
                f"run `tailrace projections build {self._sink.rpartition('.')[2]}`; the events wait"
            )
        if (build.projection, build.version) != (ours.name, ours.version):
            raise Refused(
                f"this sink holds version {build.version} of projection {build.projection}, and "
                f"the code has version {ours.version} of {ours.name}: describe that as a sink of "
                "another name, build it, and switch to it with `tailrace projections switch`"
            )

    def _store(self) -> Connection:
        if self._store_connection is None or self._store_connection.closed:
            self._store_connection = psycopg.connect(
                self._store_dsn, options=SESSION, connect_timeout=5, autocommit=True
            )
        return self._store_connection

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, self._projection)
        return self._connection


def _events(changes: Sequence[ChangeEvent]) -> list[Stored]:
    events: list[Stored] = []
    refused: list[tuple[ChangeEvent, str]] = []
    for change in changes:
        found = stored(change)
        if isinstance(found, str):
            refused.append((change, found))
        else:
            events.append(found)
    if refused:
        raise Rejected(refused)
    return events


def _missing(store: Connection, event: Stored, start: int) -> list[Stored]:
    asked = [event.stream, start, event.pos, MOST_MISSING + 1]
    rows = store.execute(STATEMENTS["missing"], asked).fetchall()
    if len(rows) > MOST_MISSING:
        raise Busy(
            f"more than {MOST_MISSING:,} events of stream {event.stream:.100} did not come by the "
            "log: build the projection anew (`tailrace projections build`)"
        )
    return [Stored(*row) for row in rows]


def _unknown(event: Stored, pos: int) -> str:
    return (
        f"it says that it is event {event.pos} of stream {event.stream:.100}, of which the event "
        f"store has no {pos}: it was not written there, so find out who wrote it into the topic"
    )
