"""The loop. One worker = one sink = one consumer group = one process."""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from consumer.errors import Busy, Fenced, Rebalanced, Rejected, Stopped
from consumer.event import Batch, DeadLetter, Outcome, TopicPartition
from consumer.facts import Applied, Assigned, Counts, Held, Parked, Polled
from consumer.plan import letters, plan, without
from consumer.ports import DeadLetters, Decoder, Deduplicator, Marks, Observer, Sink, Source
from consumer.retry import Backoff

OVERLAP_MIN_CHANGES = 1000  # below this, reading ahead costs more than it hides
HOLD_SLICE_S = 0.2  # how long a stop may go unnoticed
T = TypeVar("T")


@dataclass(slots=True)
class _Work:
    batch: Batch
    counts: Counts
    polled_at_s: float
    planned_at_s: float
    answer: Future[Outcome] | None = None


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
    _in_flight: _Work | None = None
    _next_offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def run(self) -> None:
        """Until `stopping()`. Raises Stopped if a batch had to be left unfinished then."""
        with ThreadPoolExecutor(1, thread_name_prefix="apply") as self._applier:
            while not self.stopping():
                self.step()
            self._finish()

    def step(self) -> None:
        try:
            ahead = self._read()
            self._finish(ahead)
            if ahead is not None and len(ahead.batch.changes) < OVERLAP_MIN_CHANGES:
                self._finish()
        except Rebalanced as change:
            self._take_over(change.partitions)

    def _read(self) -> _Work | None:
        """poll -> decode -> dedupe -> plan"""
        polled = self._persist(self.source.poll)
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
        filtered = records - len(events) - len(unreadable)
        duplicates = len(events) - len(changes)
        counts = Counts(records, filtered, duplicates, len(unreadable))
        return _Work(batch, counts, polled_at_s, self.clock())

    def _finish(self, ahead: _Work | None = None) -> None:
        """Waits for the batch in flight; `ahead` goes off before that one is acknowledged."""
        work, self._in_flight = self._in_flight, None
        outcome = None if work is None else self._applied(work)
        if ahead is not None:
            ahead.answer = self._applier.submit(self.sink.apply, ahead.batch)
            self._in_flight = ahead
        if work is not None and outcome is not None:
            self._acknowledge(work, outcome)

    def _applied(self, work: _Work) -> Outcome:
        """Waits for the sink; what it refuses is parked, what it cannot take now is held."""

        def answered() -> Outcome:
            answer = work.answer or self._applier.submit(self.sink.apply, work.batch)
            work.answer = None  # an answer counts once: after it the batch is applied anew
            return answer.result()

        while True:
            try:
                return self._persist(answered)
            except Rejected as rejected:
                self._park(letters(rejected))
                work.counts.parked += len(rejected.refused)
                work.batch = without(work.batch, rejected)

    def _acknowledge(self, work: _Work, outcome: Outcome) -> None:
        applied_at_s = self.clock()
        self.dedup.remember(work.batch)  # I2: only what the sink holds durably
        self.source.commit(work.batch.spans)  # I1: after the sink, never before
        times = (work.polled_at_s, work.planned_at_s, applied_at_s, self.clock())
        self.observe(Applied(work.batch, outcome, work.counts, *times))

    def _park(self, letters: Sequence[DeadLetter]) -> None:
        """I4: durable before the offsets move past them; after a crash in between, there twice."""
        if letters:
            self._persist(lambda: self.dead_letters.put(letters))
            self.observe(Parked(letters))

    def _persist(self, act: Callable[[], T]) -> T:
        """Tries until it is not Busy. Raises Rebalanced, or Stopped when told to meanwhile."""
        for attempt in count(1):
            try:
                return act()
            except Busy as busy:
                delay_s = self.backoff.delay_s(attempt)
                self.observe(Held(str(busy), delay_s, attempt))
                self._hold(delay_s, busy)
        raise AssertionError("unreachable")

    def _hold(self, delay_s: float, busy: Busy) -> None:
        until_s = self.clock() + delay_s
        while (left_s := until_s - self.clock()) > 0:
            if self.stopping():
                raise Stopped(f"while waiting, to go on from there: {busy}")
            self.source.hold(min(left_s, HOLD_SLICE_S))

    def _take_over(self, partitions: Collection[TopicPartition]) -> None:
        """The sink alone says where to go on; what was read ahead is read again."""
        work, self._in_flight = self._in_flight, None
        if work is not None and work.answer is not None:
            with suppress(Busy, Rejected, Fenced):  # then nothing of it was applied
                self._acknowledge(work, work.answer.result())
        marks = self.source.start(self._positions(partitions))
        self.decoder.start(marks)
        self.dedup.start(marks)
        self._next_offsets = {at: mark.next_offset for at, mark in marks.items()}
        self.observe(Assigned(frozenset(marks)))

    def _positions(self, partitions: Collection[TopicPartition]) -> Marks:
        try:
            return self._persist(lambda: self.sink.positions(partitions))
        except Rebalanced as newer:
            return self._positions(newer.partitions)
