"""How far a sink in a Postgres is: its marks, moved in the transaction that holds the effects."""

from collections.abc import Collection
from typing import Any

import psycopg
from msgspec.structs import asdict

from consumer.errors import Fenced
from consumer.event import Batch, Mark, Position, Span, TopicPartition
from sinks.target import STATEMENTS, as_json

SESSION = (
    "-c lock_timeout=5s -c statement_timeout=120s -c idle_in_transaction_session_timeout=30s "
    "-c TimeZone=UTC -c IntervalStyle=iso_8601 -c DateStyle=ISO -c search_path=pg_catalog"
)

Connection = psycopg.Connection[Any]


def create_schema(connection: Connection) -> None:
    """The tables that sinks keep, if they are not there. Needs the right to create a schema."""
    connection.execute(STATEMENTS["schema"])
    connection.execute(STATEMENTS["parked"])


class Ledger:
    """
    The marks of `sink` as this worker may move them. Its methods run in the caller's transaction
    unless they say otherwise.
    """

    def __init__(self, sink: str) -> None:
        self.sink = sink
        self._epochs: dict[TopicPartition, int] = {}
        self._in_doubt = False  # whether the answer to the last COMMIT may have been lost

    def claim(
        self, connection: Connection, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Mark]:
        """Take partitions over, durably: whoever had them before is fenced (I5)."""
        topics = [at.topic for at in partitions]
        numbers = [at.partition for at in partitions]
        rows = connection.execute(STATEMENTS["claim"], [self.sink, topics, numbers]).fetchall()
        connection.commit()
        marks = {}
        self._epochs.clear()
        for topic, partition, epoch, next_offset, gen, commit, lsn, *rest in rows:
            at = TopicPartition(topic, partition)
            self._epochs[at] = epoch
            marks[at] = Mark(next_offset, Position(gen, commit, lsn), *rest)
        self._in_doubt = False
        return marks

    def advance(self, connection: Connection, batch: Batch) -> psycopg.Cursor[Any]:
        """I5: moves the spans from where this worker left them. Hand what it returns to `check`."""
        rows = (self._row(batch, at, span) for at, span in sorted(batch.spans.items()))
        return connection.execute(STATEMENTS["advance"], [as_json(rows), self.sink])

    def check(self, moved: psycopg.Cursor[Any], batch: Batch) -> None:
        """Once the answer is there, and before anything is written. Raises Fenced."""
        if moved.rowcount != len(batch.spans):
            raise Fenced(
                f"{len(batch.spans) - moved.rowcount} of {len(batch.spans)} partition(s) of sink "
                f"{self.sink} were moved on by another worker"
            )

    def commit(self, connection: Connection) -> None:
        self._in_doubt = True
        connection.commit()
        self._in_doubt = False

    def has(self, connection: Connection, batch: Batch) -> bool:
        """Whether it was committed, where the answer to that was lost. Before any other work."""
        if not self._in_doubt:
            return False
        rows = [self._row(batch, at, span) for at, span in batch.spans.items()]
        found = connection.execute(STATEMENTS["reached"], [as_json(rows), self.sink]).fetchone()
        connection.rollback()
        self._in_doubt = False
        return found is not None and found[0] == len(rows)

    def _row(self, batch: Batch, at: TopicPartition, span: Span) -> dict[str, object]:
        mark = batch.marks[at]
        return {
            **at._asdict(),
            **span._asdict(),
            **asdict(mark.position),
            "epoch": self._epochs.get(at, -1),
            "committed_at_us": mark.committed_at_us,
            "snapshot_lsn": mark.snapshot_lsn,
            "log": mark.log,
        }
