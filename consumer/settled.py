"""
What became of the latest batches, without their records: where a trace finds a change's times.

One entry a batch and nothing for an event, so the loop does not feel it.
"""

import threading
from collections import deque
from itertools import islice

import msgspec

from consumer.facts import Applied

KEPT_SPANS = 20_000  # some 10 MB at the most, whatever a batch is made of


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """Offsets [start, stop) of one partition."""

    topic: str
    partition: int
    start: int
    stop: int


class Settled(msgspec.Struct, frozen=True):
    """
    One batch that is durable in its sink. `ended` counts its records by how they ended, those
    that are not zero. Times are seconds since 1970 on the worker's clock: polled, decoded and
    sifted, durable in the sink, remembered and acknowledged.
    """

    sink: str
    worker: int
    spans: tuple[Stretch, ...]
    ended: dict[str, int]
    polled_at_s: float
    planned_at_s: float
    applied_at_s: float
    acked_at_s: float

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Whether this record was in the batch."""
        return any(
            span.start <= offset < span.stop and (span.topic, span.partition) == (topic, partition)
            for span in self.spans
        )


def settled(fact: Applied, sink: str, worker: int, now_s: float) -> Settled:
    """The entry of a batch that was acknowledged just now, `now_s` being the wall clock."""
    behind_s = now_s - fact.acked_at_s  # from the monotonic clock to that of the wall
    outcome, counts = fact.outcome, fact.counts
    ended = {
        "written": outcome.written,
        "superseded": outcome.superseded,
        "stale": outcome.stale,
        "duplicate": counts.duplicates,
        "filtered": counts.filtered,
        "parked": counts.parked,
    }
    return Settled(
        sink,
        worker,
        tuple(
            Stretch(at.topic, at.partition, span.start, span.stop)
            for at, span in fact.batch.spans.items()
        ),
        {name: count for name, count in ended.items() if count},
        fact.polled_at_s + behind_s,
        fact.planned_at_s + behind_s,
        fact.applied_at_s + behind_s,
        now_s,
    )


class Ring:
    """The newest batches, as many as have `kept_spans` spans; for several threads."""

    def __init__(self, kept_spans: int = KEPT_SPANS) -> None:
        self._kept: deque[Settled] = deque()
        self._kept_spans = kept_spans
        self._spans = 0
        self._added = 0
        self._lock = threading.Lock()

    def add(self, batch: Settled) -> None:
        """The newest one; the oldest go where it would be too many."""
        with self._lock:
            self._kept.append(batch)
            self._added += 1
            self._spans += len(batch.spans)
            while self._spans > self._kept_spans and len(self._kept) > 1:
                self._spans -= len(self._kept.popleft().spans)

    def after(self, number: int, most_spans: int) -> tuple[int, list[Settled]]:
        """
        Batches that were added after the `number`-th and are still here, in their order, and the
        number of the last of them. At least one if there is any, and no more than `most_spans`.
        """
        with self._lock:
            gone = self._added - len(self._kept)
            number = max(number, gone)
            found: list[Settled] = []
            for batch in islice(self._kept, number - gone, None):
                most_spans -= len(batch.spans)
                if found and most_spans < 0:
                    break
                found.append(batch)
        return number + len(found), found

    def find(self, topic: str, partition: int, offset: int) -> list[Settled]:
        """Those that held this record, the newest first."""
        with self._lock:
            kept = list(self._kept)
        return [batch for batch in reversed(kept) if batch.holds(topic, partition, offset)]
