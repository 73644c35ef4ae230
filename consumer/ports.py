"""
The seams of the loop. Start reading here; then `worker.py`, then `sinks/memory.py`.

I1 no offset moves before its changes are durable · I2 nothing is remembered before it is applied
I3 a key never goes back · I4 no record vanishes · I5 only its owner moves a partition
(all of them, and what shows each: docs/guarantees.md)
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from consumer.event import (
    Batch,
    ChangeEvent,
    DeadLetter,
    Mark,
    Outcome,
    Record,
    Span,
    TopicPartition,
)
from consumer.facts import Fact

Polled = Mapping[TopicPartition, Sequence[Record]]
Marks = Mapping[TopicPartition, Mark]
Observer = Callable[[Fact], None]  # metrics, log, lag and tests listen here


class Source(Protocol):
    """Kafka, seen from the loop."""

    def poll(self) -> Polled:
        """At most one batch, bounded in count, bytes and time. Raises Rebalanced and Busy."""

    def start(self, marks: Marks) -> Marks:
        """Read on from the sink's marks, never Kafka's own; the same, with their `log` known."""

    def commit(self, spans: Mapping[TopicPartition, Span]) -> None:
        """Tell Kafka how far the sink is; only lag displays read it."""

    def hold(self, seconds: float) -> None:
        """Stay in the group without reading. Raises Rebalanced."""


class Decoder(Protocol):
    """Record -> change. Pure but for the position it has reached in each partition."""

    def start(self, marks: Marks) -> None: ...

    def decode(self, polled: Polled) -> tuple[list[ChangeEvent], list[DeadLetter]]:
        """Changes, and what was unreadable; the rest of the records holds no change."""

    def marks(self, polled: Polled) -> Marks:
        """Where a sink stands once it has all that was decoded of these partitions."""


class Deduplicator(Protocol):
    """A filter, never the truth: forgetting everything costs work, not correctness."""

    def start(self, marks: Marks) -> None: ...

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]: ...

    def remember(self, batch: Batch) -> None: ...


class Sink(Protocol):
    """Where changes take effect, and the one truth about how far they have."""

    def positions(self, partitions: Collection[TopicPartition]) -> Marks:
        """Take these partitions over: whoever had them before is fenced. Raises Busy."""

    def apply(self, batch: Batch) -> Outcome:
        """All of it and its marks, durable on return; or nothing: Rejected, Busy or Fenced."""

    def close(self) -> None: ...


class DeadLetters(Protocol):
    """Where records go that cannot be applied."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once they are durable. Raises Busy."""
