"""Reading a pipeline's topics for one change, as far as is bounded, without joining a group."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import kafka
from kafka.structs import TopicPartition as Theirs

from consumer.decode import DebeziumDecoder
from consumer.errors import Diverged
from consumer.event import FIRST, ChangeEvent, DeadLetter, Mark, Position, Record, TopicPartition
from consumer.records import record_of, use_flat_reader

FETCH_BYTES = 4 << 20
MOST_RECORDS = 1_000_000  # of all partitions together, unless a time was named
READ_WITHIN_S = 60.0
POLL_MS = 200
NEVER_LATER_US = 1 << 62

Progress = Callable[[int, int], None]
"""Told how many records were read, and how many there are."""


@dataclass(slots=True)
class Part:
    """
    One partition as it is searched. `lives` are the offsets from which on another life of the
    source is counted, from 0 where the search began.
    """

    at: TopicPartition
    start: int
    stop: int
    began_at_ms: int | None = None
    reached: int = 0
    lives: list[tuple[int, int]] = field(default_factory=list)
    below_lsn: int | None = None
    above_lsn: int | None = None

    def life_at(self, offset: int) -> int:
        """The life of the source in which a sink is that wants this offset next."""
        return next((life for at, life in reversed(self.lives) if at < offset), 0)


@dataclass(slots=True)
class Found:
    """`events` and `unreadable` are the newest that were meant, of `count`."""

    parts: Mapping[TopicPartition, Part]
    without_topic: Sequence[str]
    events: deque[ChangeEvent]
    unreadable: deque[DeadLetter]
    count: int = 0
    records: int = 0
    is_cut: bool = False  # older records were left out
    is_late: bool = False  # time was up before the end


@dataclass(frozen=True, slots=True)
class Search:
    """
    What to look for. `is_meant` gets what was decoded, `is_meant_key` the keys of what could not
    be; `around` is an LSN whose neighbours are worth knowing.
    """

    tables: Sequence[str]
    topics: Sequence[str]
    is_meant: Callable[[ChangeEvent], bool]
    is_meant_key: Callable[[bytes | None], bool]
    since_s: float | None
    keep: int
    around: int | None = None
    most_records: int = MOST_RECORDS
    within_s: float = READ_WITHIN_S


def scan(consumer: kafka.KafkaConsumer, search: Search, progress: Progress) -> Found:
    """All that is meant, up to where the topics end now. Raises kafka-python's errors."""
    use_flat_reader(consumer)
    parts, is_cut, missing = _parts(consumer, search)
    found = Found(parts, missing, deque(maxlen=search.keep), deque(maxlen=search.keep))
    found.is_cut = is_cut
    readers = {at: _Reader(part, search, found) for at, part in parts.items()}
    total = sum(part.stop - part.start for part in parts.values())
    until_s = time.monotonic() + search.within_s
    for at, records in read(consumer, {at: (p.start, p.stop) for at, p in parts.items()}, until_s):
        readers[at].take(records)
        found.records += len(records)
        progress(found.records, total)
    for at, part in parts.items():
        part.reached = consumer.position(Theirs(*at))
    found.is_late = any(part.reached < part.stop for part in parts.values())
    return found


def read(
    consumer: kafka.KafkaConsumer,
    ranges: Mapping[TopicPartition, tuple[int, int]],
    until_s: float,
) -> "Iterable[tuple[TopicPartition, Sequence[Record]]]":
    """Records of [start, stop), as they come, until then by the monotonic clock."""
    wanted = {Theirs(*at): span for at, span in ranges.items() if span[0] < span[1]}
    consumer.assign([Theirs(*at) for at in ranges])
    consumer.resume(*(Theirs(*at) for at in ranges))  # assigned again, it stays as paused as it was
    for at, (start, _) in ranges.items():
        consumer.seek(Theirs(*at), start)
    while time.monotonic() < until_s and any(
        consumer.position(at) < stop for at, (_, stop) in wanted.items()
    ):
        for at, records in consumer.poll(POLL_MS, max_records=5_000).items():
            yield (
                TopicPartition(*at),
                [record if isinstance(record, Record) else record_of(record) for record in records],
            )


def _parts(
    consumer: kafka.KafkaConsumer, search: Search
) -> tuple[dict[TopicPartition, Part], bool, list[str]]:
    known = consumer.topics()
    theirs = [
        Theirs(topic, number)
        for topic in search.topics
        if topic in known
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    missing = [topic for topic in search.topics if topic not in known]
    starts = dict(consumer.beginning_offsets(theirs)) if theirs else {}
    stops = dict(consumer.end_offsets(theirs)) if theirs else {}
    firsts = dict(starts)
    if search.since_s is not None:
        asked = dict.fromkeys(theirs, int(search.since_s * 1000))
        times = consumer.offsets_for_times(asked) if theirs else {}
        firsts = {at: times[at].offset if times.get(at) else stops[at] for at in theirs}
    elif theirs:
        share = search.most_records // len(theirs)
        firsts = {at: max(starts[at], stops[at] - share) for at in theirs}
    parts = {TopicPartition(*at): Part(TopicPartition(*at), firsts[at], stops[at]) for at in theirs}
    return parts, any(firsts[at] > starts[at] for at in theirs), missing


class _Reader:
    """Decodes one partition as a worker would that began where the search does."""

    def __init__(self, part: Part, search: Search, found: Found) -> None:
        self._part = part
        self._search = search
        self._found = found
        self._decoder = DebeziumDecoder(search.tables)
        self._decoder.start({part.at: FIRST})
        self._life = 0

    def take(self, records: Sequence[Record]) -> None:
        part, search, found = self._part, self._search, self._found
        if part.began_at_ms is None and records:
            part.began_at_ms = records[0].timestamp_ms
        events, unreadable = self._decode(records)
        for event in events:
            if event.position.gen != self._life:
                self._life = event.position.gen
                part.lives.append((event.record.offset, self._life))
            if search.is_meant(event):
                found.events.append(event)
                found.count += 1
        if search.around is not None:
            self._see_neighbours(events, search.around)
        for letter in unreadable:
            if search.is_meant_key(letter.record.key):
                found.unreadable.append(letter)
                found.count += 1

    def _decode(self, records: Sequence[Record]) -> tuple[list[ChangeEvent], list[DeadLetter]]:
        """What makes a worker stop, another timeline, is read over: it is a part of the life."""
        at = self._part.at
        try:
            return self._decoder.decode({at: records})
        except Diverged:
            if len(records) > 1:
                halves = (records[: len(records) // 2], records[len(records) // 2 :])
                (e1, u1), (e2, u2) = map(self._decode, halves)
                return e1 + e2, u1 + u2
            self._decoder.start({at: Mark(0, Position(self._life, 0, 0), NEVER_LATER_US, 0)})
            return self._decoder.decode({at: records})

    def _see_neighbours(self, events: Sequence[ChangeEvent], around: int) -> None:
        part = self._part
        for event in events:
            lsn = event.position.lsn
            if lsn <= around:
                part.below_lsn = max(part.below_lsn or 0, lsn)
            else:
                part.above_lsn = lsn if part.above_lsn is None else min(part.above_lsn, lsn)
