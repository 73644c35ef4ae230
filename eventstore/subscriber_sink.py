"""
A subscriber as a sink of the loop: marks, inbox and the handlers' own writes in one transaction.

Two guards make an event take effect once, however often it is delivered: the offset row
(compare-and-set, first statement) and the inbox row, which also holds when offsets are set back.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg

from consumer.errors import Busy, Rejected, Unreadable
from consumer.event import FIRST, Batch, ChangeEvent, Mark, Outcome, Record, TopicPartition
from eventstore.subscriber import Arrived, EventDecoder, Refuse, Subscriber
from sinks import marks, refusal
from sinks.marks import Ledger
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("subscriber.sql"))
INBOX = STATEMENTS["schema"]
SESSION = (
    "-c lock_timeout=5s -c statement_timeout=120s -c idle_in_transaction_session_timeout=7s"
    " -c random_page_cost=1.1"  # what it looks up is new, hence in memory
)
Connection = psycopg.Connection[Any]


def create_schema(connection: Connection) -> None:
    """The inbox and the sink's own tables, if they are not there."""
    marks.create_schema(connection)
    connection.execute(INBOX)


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
        self._ledger = Ledger(sink)
        self._reached = reached
        self._connection: Connection | None = None

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        """Raises Busy."""
        with self._at_work() as connection:
            self._subscriber.ready(connection)
            return self._ledger.claim(connection, partitions)

    def apply(self, batch: Batch) -> Outcome:
        """A handler that fails holds the batch as it is: Busy, with the sentence."""
        with self._at_work() as connection:
            if self._ledger.has(connection, batch):
                return Outcome(len(batch.changes), 0, 0)
            try:
                return self._apply(connection, batch)
            except Refuse:
                connection.rollback()
                raise self._rejected(connection, batch) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _apply(self, connection: Connection, batch: Batch) -> Outcome:
        new = self._take_in(connection, batch)
        with connection.transaction():  # inside of it no handler can commit by itself
            if new:
                self._subscriber.handle(connection, new)
        self._reached("before commit")
        self._ledger.commit(connection)
        self._reached("after commit")
        return Outcome(len(new), 0, len(batch.changes) - len(new))

    def _rejected(self, connection: Connection, batch: Batch) -> Rejected:
        """All that the handlers refuse, each tried by itself; nothing stays of it."""
        refused: list[tuple[ChangeEvent, str]] = []
        for arrived in self._take_in(connection, batch):
            try:
                with connection.transaction():
                    self._subscriber.handle(connection, [arrived])
            except Refuse as reason:
                refused.append((arrived, _refusal(self._subscriber, reason)))
        connection.rollback()
        if not refused:
            raise Busy(f"a handler of {self._subscriber.name} refused an event, and then did not")
        return Rejected(refused)

    def _take_in(self, connection: Connection, batch: Batch) -> list[Arrived]:
        """Marks first (I5), then the inbox; those that are new, in their order, each once."""
        self._ledger.check(self._ledger.advance(connection, batch), batch)
        self._reached("advanced")
        return _new(connection, self._subscriber, cast(Sequence[Arrived], batch.changes))

    @contextmanager
    def _at_work(self) -> Iterator[Connection]:
        mend = "correct the handler and restart the worker; the events wait"
        with refusal.closing(self.close, self._subscriber.name, mend):
            yield self._connect()

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn,
                options=SESSION,
                connect_timeout=5,
                application_name="tailrace subscriber",
            )
        return self._connection


def handle_again(connection: Connection, subscriber: Subscriber, record: Record) -> bool:
    """
    A record that was parked, in the caller's transaction; False where it was handled meanwhile.
    Raises Unreadable, Rejected where a handler refuses it again, and Busy where that fails.
    """
    decoder = EventDecoder(subscriber)
    decoder.start({record.at: FIRST})
    events, unreadable = decoder.decode({record.at: [record]})
    if not events:
        raise Unreadable(unreadable[0].reason if unreadable else "nobody handles it any more")
    (arrived,) = cast(list[Arrived], events)
    if not _new(connection, subscriber, [arrived]):
        return False
    try:
        subscriber.handle(connection, [arrived])
    except Refuse as reason:
        raise Rejected([(arrived, _refusal(subscriber, reason))]) from None
    return True


def _new(
    connection: Connection, subscriber: Subscriber, events: Sequence[Arrived]
) -> list[Arrived]:
    """Those that the inbox did not have, in their order, each once."""
    arrived: dict[tuple[str, str], Arrived] = {}
    for one in events:
        arrived.setdefault((one.received.source, one.received.id), one)
    if not arrived:
        return []
    names = as_json({"source": source, "id": id_} for source, id_ in arrived)
    rows = connection.execute(STATEMENTS["take_in"], [subscriber.name, names])
    new = {(source, id_) for source, id_ in rows}
    return [one for name, one in arrived.items() if name in new]


def _refusal(subscriber: Subscriber, reason: Refuse) -> str:
    return f"{subscriber.name} refuses it: {reason}"
