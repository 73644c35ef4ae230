"""What the loop reports to its observer: values, so that metrics, log and tests hear the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.event import Batch, DeadLetter, Outcome, TopicPartition


@dataclass(frozen=True, slots=True)
class Assigned:
    """This worker now owns these partitions and no others."""

    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Polled:
    """The loop came by, with this many records or none."""

    records: int


@dataclass(slots=True)
class Counts:
    """What became of the records of a poll before the sink, and what it then refused."""

    records: int
    filtered: int
    duplicates: int
    parked: int


@dataclass(frozen=True, slots=True)
class Applied:
    """
    One batch is durable in the sink. Every one of `counts.records` ended in one way (I4):
    outcome.written + superseded + stale + counts.filtered + duplicates + parked = records.

    Times are on the worker's monotonic clock: polled, decoded and sifted, durable, booked.
    """

    batch: Batch
    outcome: Outcome
    counts: Counts
    polled_at_s: float
    planned_at_s: float
    applied_at_s: float
    acked_at_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """The batch has to wait: why, for how long, and how often by now."""

    reason: str
    delay_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Parked:
    """These records went to the dead letters."""

    letters: Sequence[DeadLetter]


@dataclass(frozen=True, slots=True)
class Degraded:
    """
    The idempotency keys cannot be reached, for this reason: the sink's own guards carry on
    alone. Without a reason: they are back.
    """

    reason: str | None


Fact = Assigned | Polled | Applied | Held | Parked | Degraded
