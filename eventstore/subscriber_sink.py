"""
A subscriber as a sink of the loop: marks, inbox and the handlers' own writes in one transaction.

Two guards make an event take effect once, however often it is delivered: the offset row
(compare-and-set, first statement) and the inbox row, which also holds when offsets are set back.
"""

import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
from msgspec.structs import astuple

from consumer.errors import Busy, Fenced, Rejected
from consumer.event import Batch, ChangeEvent, Mark, Outcome, Position, TopicPartition
from eventstore.subscriber import Arrived, Refuse, Subscriber
from sinks import refusal
from sinks.target import STATEMENTS as MARKS
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("subscriber.sql"))
INBOX = STATEMENTS["schema"]
SESSION = "-c lock_timeout=5s -c statement_timeout=120s -c idle_in_transaction_session_timeout=120s"
Connection = psycopg.Connection[Any]


def create_schema(connection: Connection) -> None:
    """The inbox and the sink's own tables, if they are not there."""
    connection.execute(MARKS["schema"])
    connection.execute(MARKS["parked"])
    connection.execute(INBOX)


class InboxDecides:
    """No Redis keys: the inbox tells a repeat, for a whole batch in one statement."""

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        pass

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        return events

    def remember(self, batch: Batch) -> None:
        pass

    def close(self) -> None:
        pass


class SubscriberSink:
    """
    Runs the handlers of `subscriber` in the database `dsn`, with marks under the name `sink`.
    `reached` is called at each step inside `apply`: tests kill the process there.
    """

    def __init__(
        self,
        dsn: str,
        sink: str,
        subscriber: Subscriber,
        *,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._dsn = dsn
        self._subscriber = subscriber
        self._marks = _Marks(sink)
        self._reached = reached
        self._connection: Connection | None = None
        self._in_doubt = False  # whether the answer to the last COMMIT may have been lost

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        """Raises Busy."""
        with self._at_work() as connection, connection.transaction():
            found = self._marks.claim(connection, partitions)
        self._in_doubt = False
        return found

    def apply(self, batch: Batch) -> Outcome:
        """A handler that fails holds the batch as it is: Busy, with the sentence."""
        with self._at_work() as connection:
            if self._in_doubt:
                with connection.transaction():
                    is_applied = self._marks.reached(connection, batch)
                self._in_doubt = False
                if is_applied:
                    return Outcome(len(batch.changes), 0, 0)
            try:
                return self._apply(connection, batch)
            except Refuse:
                raise self._rejected(connection, batch) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _apply(self, connection: Connection, batch: Batch) -> Outcome:
        with connection.transaction():
            new = self._take_in(connection, batch)
            for arrived in new:
                self._handle(connection, arrived)
            self._reached("before commit")
            self._in_doubt = True
        self._in_doubt = False
        self._reached("after commit")
        return Outcome(len(new), 0, len(batch.changes) - len(new))

    def _rejected(self, connection: Connection, batch: Batch) -> Rejected:
        """All that the handlers refuse, each tried by itself; nothing stays of it."""
        refused: list[tuple[ChangeEvent, str]] = []
        with connection.transaction(force_rollback=True):
            for arrived in self._take_in(connection, batch):
                try:
                    with connection.transaction():
                        self._handle(connection, arrived)
                except Refuse as reason:
                    refused.append((arrived, f"{self._subscriber.name} refuses it: {reason}"))
        if not refused:
            raise Busy(f"a handler of {self._subscriber.name} refused an event, and then did not")
        return Rejected(refused)

    def _take_in(self, connection: Connection, batch: Batch) -> list[Arrived]:
        """Marks first (I5), then the inbox; those that are new, in their order, each once."""
        self._marks.advance(connection, batch)
        self._reached("advanced")
        arrived: dict[tuple[str, str], Arrived] = {}
        for one in cast(Sequence[Arrived], batch.changes):
            arrived.setdefault((one.received.source, one.received.id), one)
        if not arrived:
            return []
        names = [list(part) for part in zip(*arrived, strict=True)]
        rows = connection.execute(STATEMENTS["take_in"], [self._subscriber.name, *names])
        new = {(source, id_) for source, id_ in rows}
        return [one for name, one in arrived.items() if name in new]

    def _handle(self, connection: Connection, arrived: Arrived) -> None:
        """What a handler raises, but for Refuse, is a matter of time or of a new version of it."""
        try:
            self._subscriber.handlers[arrived.table](connection, arrived.received)
        except (Refuse, psycopg.OperationalError):
            raise
        except Exception as error:
            at = arrived.record
            raise Busy(
                f"the handler of {arrived.table} in {self._subscriber.name} fails"
                f" ({_place(error)}) at {at.at.topic}[{at.at.partition}] offset {at.offset}:"
                " correct it and restart the worker; the events wait"
            ) from error

    @contextmanager
    def _at_work(self) -> Iterator[Connection]:
        """A connection, which is left without a transaction whatever happens."""
        try:
            with refusal.as_busy(()):
                yield self._connect()
        except psycopg.Error as error:  # as a constraint that is checked at the commit
            text = error.diag.message_primary or type(error).__name__
            raise Busy(
                f"the database refuses what {self._subscriber.name} wrote ({text}): correct the"
                " handler and restart the worker; the events wait"
            ) from error
        except (Busy, Fenced):
            self.close()
            raise

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,  # every transaction is one that is opened by name
                options=SESSION,
                connect_timeout=5,
                application_name="tailrace subscriber",
            )
        return self._connection


class _Marks:
    """How far the sink is, in its own database, under the epochs that this worker was given."""

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._epochs: dict[TopicPartition, int] = {}

    def claim(
        self, connection: Connection, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Mark]:
        topics = [at.topic for at in partitions]
        numbers = [at.partition for at in partitions]
        rows = connection.execute(MARKS["claim"], [self._sink, topics, numbers]).fetchall()
        marks = {}
        self._epochs.clear()
        for topic, partition, epoch, next_offset, gen, commit, lsn, *rest in rows:
            at = TopicPartition(topic, partition)
            self._epochs[at] = epoch
            marks[at] = Mark(next_offset, Position(gen, commit, lsn), *rest)
        return marks

    def advance(self, connection: Connection, batch: Batch) -> None:
        """I5: the spans move only from where this worker left them. Raises Fenced."""
        rows = [
            (
                *(at.topic, at.partition, self._epochs.get(at, -1), span.start, span.stop),
                *(*astuple(batch.marks[at].position), *batch.marks[at][2:]),
            )
            for at, span in sorted(batch.spans.items())
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        moved = connection.execute(MARKS["advance"], [*columns, self._sink])
        if moved.rowcount != len(batch.spans):
            raise Fenced(
                f"{len(batch.spans) - moved.rowcount} of {len(batch.spans)} partition(s) of sink"
                f" {self._sink} were moved on by another worker"
            )

    def reached(self, connection: Connection, batch: Batch) -> bool:
        rows = [
            (at.topic, at.partition, self._epochs.get(at, -1), span.stop)
            for at, span in batch.spans.items()
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        found = connection.execute(MARKS["reached"], [*columns, self._sink]).fetchone()
        return found is not None and found[0] == len(rows)


def _place(error: Exception) -> str:
    """Kind and line of an error; not its text, which may hold an event's values."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"
