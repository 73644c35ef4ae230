"""
The seams of the loop in `worker.py`. Start reading here; then `worker.py`, then `sinks/memory.py`.

Invariants that hold at these seams, numbered as in docs/guarantees.md:
I1 no offset moves before its changes are durable in the sink · I2 nothing is remembered before it
is applied · I3 per key, a sink never goes back to an older position · I4 every record ends
applied, deduplicated, filtered or parked · I5 only the owner of a partition writes its span
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
Observer = Callable[[Fact], None]  # metrics, log, lag and tests listen here


class Source(Protocol):
    """Kafka, seen from the loop."""

    def poll(self) -> Polled:
        """At most one batch, bounded in count, bytes and time. Raises Rebalanced."""

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        """Read on from these marks: the sink's, never Kafka's own."""

    def commit(self, spans: Mapping[TopicPartition, Span]) -> None:
        """Tell Kafka how far the sink is; only lag displays read it."""

    def hold(self, seconds: float) -> None:
        """Stay in the group without reading. Raises Rebalanced."""


class Decoder(Protocol):
    """Record -> change. Pure but for the position it has reached in each partition."""

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None: ...

    def decode(self, polled: Polled) -> tuple[list[ChangeEvent], list[DeadLetter]]:
        """Changes, and what was unreadable; the rest of the records holds no change."""

    def marks(self, polled: Polled) -> dict[TopicPartition, Mark]:
        """Where a sink stands in each polled partition once it has all that was decoded."""


class Deduplicator(Protocol):
    """A filter, never the truth: forgetting everything costs work, not correctness."""

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None: ...

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]: ...

    def remember(self, batch: Batch) -> None:
        """Called only after the batch is durable in the sink (I2)."""


class Sink(Protocol):
    """Where batches become durable, their offsets with them."""

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Mark]:
        """Take these partitions over: whoever had them before is fenced (I5)."""

    def apply(self, batch: Batch) -> Outcome:
        """
        All of it, with its offsets, durable on return; or nothing, with an error.

        Raises Rejected, Busy or Fenced.
        """

    def close(self) -> None: ...


class DeadLetters(Protocol):
    """Where records go that cannot be applied, each with its reason."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once they are durable. Raises Busy."""
