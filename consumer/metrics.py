"""
What one worker did and how it is: an observer that adds up facts into a `Status`.

The status is the one truth; /metrics, /status.json and `tailrace lag` are its faces.
"""

import bisect
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from consumer.facts import Applied, Assigned, Degraded, Fact, Held, Parked, Polled
from consumer.settled import Ring, settled

ENDS = ("written", "superseded", "stale", "duplicate", "filtered", "parked")
BOUNDS_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 15.0, 60.0, 300.0)
WINDOW_S = 60.0
MOST_BATCHES = 5_000  # of the window


class Histogram(msgspec.Struct):
    """Counts of values up to each of BOUNDS_S, and above all of them; not cumulative."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, value_s: float) -> None:
        self.counts[bisect.bisect_left(BOUNDS_S, value_s)] += 1
        self.sum_s += value_s


class Quantiles(msgspec.Struct, frozen=True):
    """Estimated from a Histogram, in seconds."""

    p50_s: float
    p95_s: float
    p99_s: float


STAGES = ("decode", "append", "wait", "sift", "apply", "book")
"""
The way of a change, each stage ended by another clock: Debezium saw the commit; it is in Kafka;
polled; decoded and known to be no repeat; durable in the sink; remembered and acknowledged.
"""


class Waterfall(msgspec.Struct, frozen=True):
    """
    Seconds in each of STAGES for a typical change: the mean of those around the median in
    `samples` batches of one window. As read from three clocks, so a stage may be negative until it
    is corrected.
    """

    stages_s: tuple[float, ...]
    samples: int


class Place(msgspec.Struct, frozen=True):
    """How far a partition is: the next offset, and the LSN and time of the newest commit."""

    topic: str
    partition: int
    next_offset: int | None
    lsn: int | None = None
    committed_at_us: int | None = None


class Status(msgspec.Struct):
    """
    One worker. `ended` counts records by how they ended; their sum is `received` (I4).

    Times ending in `_at_s` are seconds since 1970 on this worker's clock. `held_because` is the
    sentence of what is in the way now, `redis_away` that of the idempotency keys; None: nothing.
    `recent` and `waterfall` are of the WINDOW_S up to the newest batch.
    """

    sink: str
    worker: int = 0
    pid: int = 0
    started_at_s: float = 0.0
    ticked_at_s: float = 0.0
    applied_at_s: float | None = None
    received: int = 0
    ended: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(ENDS, 0))
    batches: int = 0
    held: int = 0
    held_because: str | None = None
    held_since_s: float | None = None
    redis_failures: int = 0
    redis_away: str | None = None
    places: list[Place] = msgspec.field(default_factory=list)
    apply: Histogram = msgspec.field(default_factory=Histogram)
    commit_to_applied: Histogram = msgspec.field(default_factory=Histogram)
    recent: Quantiles | None = None
    waterfall: Waterfall | None = None
    is_assigned: bool = False


class _Met(NamedTuple):
    """What the changes of one batch met; one with more changes counts for more."""

    at_s: float
    changes: int
    latency_s: float
    stages_s: tuple[float, ...] | None


class Tally:
    """
    Listens to a worker's facts. Snapshot rows are kept out of the latencies: theirs is age.
    `settled` has the newest batches.
    """

    def __init__(
        self,
        sink: str,
        worker: int = 0,
        pid: int = 0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._now = wall_clock
        self._places: dict[tuple[str, int], Place] = {}
        self._recent: deque[_Met] = deque(maxlen=MOST_BATCHES)
        self._status = Status(sink, worker, pid, started_at_s=self._now())
        self.settled = Ring()

    def __call__(self, fact: Fact) -> None:
        status = self._status
        match fact:
            case Polled():
                status.ticked_at_s = self._now()
                status.held_because = status.held_since_s = None  # else it would not poll
            case Applied():
                self._applied(fact)
            case Held(reason, _, attempt):
                status.held += 1
                status.held_because = reason
                status.ticked_at_s = self._now()
                if attempt == 1 or status.held_since_s is None:
                    status.held_since_s = self._now()
            case Degraded(reason):
                status.redis_failures += reason is not None
                status.redis_away = reason
            case Assigned(partitions):
                status.is_assigned = True
                self._places = {
                    (at.topic, at.partition): self._places.get((at.topic, at.partition))
                    or Place(at.topic, at.partition, None)
                    for at in partitions
                }
            case Parked():
                pass  # counted with its batch

    def _applied(self, fact: Applied) -> None:
        status = self._status
        now_s = self._now()
        status.applied_at_s = now_s
        status.held_because = status.held_since_s = None
        status.received += fact.counts.records
        status.batches += 1
        batch = settled(fact, status.sink, status.worker, now_s)
        self.settled.add(batch)
        for name, count in batch.ended.items():
            status.ended[name] += count
        for at, mark in fact.batch.marks.items():
            self._places[at] = Place(
                at.topic, at.partition, mark.next_offset, mark.position.lsn, mark.committed_at_us
            )
        status.apply.add(fact.applied_at_s - fact.polled_at_s)
        changes = fact.batch.changes
        if changes and changes[-1].op != "r":
            # That in the middle stands for the others, as in `_way`.
            committed_s = changes[len(changes) // 2].committed_at_us / 1e6
            durable_s = now_s - (fact.acked_at_s - fact.applied_at_s)
            # The clocks of source and worker may differ: below zero is zero.
            latency_s = max(0.0, durable_s - committed_s)
            status.commit_to_applied.add(latency_s)
            self._recent.append(_Met(now_s, len(changes), latency_s, _way(fact, now_s)))
            while now_s - self._recent[0].at_s > WINDOW_S:
                self._recent.popleft()

    def status(self) -> Status:
        """A copy as of now."""
        held = self._places  # another thread may put another there meanwhile
        places = [held[at] for at in sorted(held)]
        recent = list(self._recent)
        return msgspec.structs.replace(
            self._status,
            ended=dict(self._status.ended),
            places=places,
            recent=quantiles([(met.latency_s, met.changes) for met in recent]),
            waterfall=waterfall([(met.stages_s, met.changes) for met in recent if met.stages_s]),
        )


class _Envelope(msgspec.Struct):
    ts_us: int


_decode = msgspec.json.Decoder(_Envelope).decode


def _way(fact: Applied, now_s: float) -> tuple[float, ...] | None:
    """The stages of the change in the middle of the batch, which stands for the others."""
    change = fact.batch.changes[len(fact.batch.changes) // 2]
    try:
        decoded_s = _decode(change.record.value or b"").ts_us / 1e6
    except msgspec.MsgspecError:
        return None
    behind_s = now_s - fact.acked_at_s  # from the monotonic clock to that of the wall
    times = (fact.polled_at_s, fact.planned_at_s, fact.applied_at_s, fact.acked_at_s)
    at_s = (
        change.committed_at_us / 1e6,
        decoded_s,
        change.record.timestamp_ms / 1e3,
        *(time_s + behind_s for time_s in times),
    )
    return tuple(later - earlier for earlier, later in pairwise(at_s))


def waterfall(ways: Sequence[tuple[tuple[float, ...], int]]) -> Waterfall | None:
    """The typical way among these, each with how many changes went it; None of nothing."""
    if not ways:
        return None
    ordered = sorted(ways, key=lambda way: sum(way[0]))
    (middle,), half = _at(ordered, 0.5), max(1, len(ordered) // 10)
    typical = [way for way, _ in ordered[max(0, middle - half) : middle + half]]
    means = (sum(stage) / len(typical) for stage in zip(*typical, strict=True))
    return Waterfall(tuple(means), len(ways))


def quantiles(values_s: Sequence[tuple[float, int]]) -> Quantiles | None:
    """By nearest rank, each value with how often it was; None of nothing: no data is not zero."""
    if not values_s:
        return None
    ordered = sorted(values_s)
    return Quantiles(*(ordered[at][0] for at in _at(ordered, 0.5, 0.95, 0.99)))


def _at(ordered: Sequence[tuple[object, int]], *shares: float) -> list[int]:
    """Where each of these shares of all is reached."""
    reached = list(accumulate(count for _, count in ordered))
    return [bisect.bisect_left(reached, share * reached[-1]) for share in shares]
