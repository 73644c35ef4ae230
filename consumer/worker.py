"""The loop. One worker = one sink = one consumer group = one process."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from consumer.errors import Busy, Fenced, Rebalanced, Rejected, Stopped
from consumer.event import Batch, DeadLetter, Outcome, TopicPartition
from consumer.facts import Applied, Assigned, Held, Parked, Polled
from consumer.plan import letters, plan, without
from consumer.ports import DeadLetters, Decoder, Deduplicator, Observer, Sink, Source
from consumer.retry import Backoff

OVERLAP_MIN_CHANGES = 1000  # below this, reading ahead costs more than it hides
HOLD_SLICE_S = 0.2  # how long a stop may go unnoticed


@dataclass(slots=True)
class InFlight:
    """A batch that is being applied; `outcome` is set when it is done."""

    batch: Batch
    records: int
    duplicates: int
    filtered: int
    parked: int
    polled_at_s: float
    outcome: Future[Outcome] = field(default_factory=Future)


@dataclass(kw_only=True)
class Worker:
    """While a large batch is being applied, the next one is read: one ahead, never two."""

    source: Source
    decoder: Decoder
    dedup: Deduplicator
    sink: Sink
    dead_letters: DeadLetters
    observe: Observer
    stopping: Callable[[], bool]
    backoff: Backoff = field(default_factory=Backoff)
    clock: Callable[[], float] = time.monotonic

    _in_flight: InFlight | None = None
    _next_offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def open(self) -> None:
        self._applier = ThreadPoolExecutor(1, thread_name_prefix="apply")

    def close(self) -> None:
        self._applier.shutdown()

    def run(self) -> None:
        """Until `stopping()`. Raises Stopped if a batch had to be left unfinished then."""
        self.open()
        try:
            while not self.stopping():
                self.step()
            self._finish()
        finally:
            self.close()

    def step(self) -> None:
        try:
            ahead = self._read()
            self._finish()
            if ahead is not None:
                self._begin(ahead)
        except Rebalanced as change:
            self._take_over(change.partitions)

    def _read(self) -> InFlight | None:
        """poll -> decode -> dedupe -> plan"""
        polled = self.source.poll()
        polled_at_s = self.clock()
        records = sum(map(len, polled.values()))
        self.observe(Polled(records))
        if not records:
            return None
        events, unreadable = self.decoder.decode(polled)
        changes = self.dedup.unseen(events)
        batch = plan(changes, self._next_offsets, self.decoder.marks(polled))
        self._next_offsets |= {at: span.stop for at, span in batch.spans.items()}
        self._park(unreadable)
        return InFlight(
            batch,
            records,
            duplicates=len(events) - len(changes),
            filtered=records - len(events) - len(unreadable),
            parked=len(unreadable),
            polled_at_s=polled_at_s,
        )

    def _begin(self, work: InFlight) -> None:
        work.outcome = self._applier.submit(self.sink.apply, work.batch)
        self._in_flight = work
        if len(work.batch.changes) < OVERLAP_MIN_CHANGES:
            self._finish()

    def _finish(self) -> None:
        work, self._in_flight = self._in_flight, None
        if work is not None:
            self._acknowledge(work, self._applied(work))

    def _applied(self, work: InFlight) -> Outcome:
        """Waits for the sink; what it refuses is parked, what it cannot take now is held."""
        for attempt in count(1):
            try:
                return work.outcome.result()
            except Busy as busy:
                self._hold(busy, attempt)
            except Rejected as rejected:
                self._park(letters(rejected))
                work.parked += len(rejected.refused)
                work.batch = without(work.batch, rejected)
            work.outcome = self._applier.submit(self.sink.apply, work.batch)
        raise AssertionError("unreachable")

    def _acknowledge(self, work: InFlight, outcome: Outcome) -> None:
        applied_at_s = self.clock()
        self.dedup.remember(work.batch)  # I2: only what the sink holds durably
        self.source.commit(work.batch.spans)  # I1: after the sink, never before
        self.observe(
            Applied(
                work.batch,
                outcome,
                work.records,
                work.duplicates,
                work.filtered,
                work.parked,
                work.polled_at_s,
                applied_at_s,
                acked_at_s=self.clock(),
            )
        )

    def _park(self, letters: list[DeadLetter]) -> None:
        """I4: durable among the dead letters before the offsets move past it."""
        for attempt in count(1):
            if not letters:
                return
            try:
                self.dead_letters.put(letters)
                self.observe(Parked(letters))
                return
            except Busy as busy:
                self._hold(busy, attempt)

    def _hold(self, busy: Busy, attempt: int) -> None:
        """Stays in the group meanwhile. Raises Rebalanced, or Stopped when asked to stop."""
        delay_s = self.backoff.delay_s(attempt)
        self.observe(Held(str(busy), delay_s, attempt))
        until_s = self.clock() + delay_s
        while (left_s := until_s - self.clock()) > 0:
            if self.stopping():
                raise Stopped(f"a batch was left unfinished, to be read again: {busy}")
            self.source.hold(min(left_s, HOLD_SLICE_S))

    def _take_over(self, partitions: Collection[TopicPartition]) -> None:
        """The sink alone says where to go on; what was read ahead is read again."""
        work, self._in_flight = self._in_flight, None
        if work is not None:
            # If this fails nothing of it was applied: whoever owns it now reads it again.
            with suppress(Busy, Rejected, Fenced):
                self._acknowledge(work, work.outcome.result())
        for attempt in count(1):
            try:
                marks = self.sink.positions(partitions)
                break
            except Busy as busy:
                try:
                    self._hold(busy, attempt)
                except Rebalanced as newer:
                    partitions = newer.partitions
        self.source.start(marks)
        self.decoder.start(marks)
        self.dedup.start(marks)
        self._next_offsets = {at: mark.next_offset for at, mark in marks.items()}
        self.observe(Assigned(frozenset(marks)))
