"""
Reading the topic of dead letters, in pages, beside what has become of each letter.

Nothing is kept of the values, whatever their size: one fetch is in memory at a time. Every function
raises Away where Kafka or the sink's database is, and Problem (TR-CFG-010) for an unknown sink.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from kafka.structs import TopicPartition as Theirs

from consumer.records import log_id, record_of
from tailrace.asking import Away, database
from tailrace.config import Pipeline, chosen
from tailrace.exits import Problem
from tailrace.logs import kafka_consumer
from tailrace.parked.letter import Group, Letter, Parked, Resolution, in_groups, letter_of, parked
from tailrace.parked.resolutions import Resolutions
from tailrace.wiring import dead_letter_topic, group_of

FETCH_BYTES = 1 << 20
FETCH_WITHIN_MS = 30_000  # a letter can have 64 MiB
AT_ONCE = 500
REMEMBERED = 100_000  # letters: the same record is parked again within what workers read ahead


class Page(msgspec.Struct, frozen=True):
    """
    Some letters of one sink. `records`: all that the topic holds, repeats included; `open_records`:
    those of them about which nobody has decided. `next_after`: where the next page begins, None
    when there is none.
    """

    sink: str
    records: int
    open_records: int
    letters: tuple[Letter, ...]
    next_after: int | None


class Pages(msgspec.Struct, frozen=True):
    """A page of each sink: what `parked list --json` gives."""

    sinks: tuple[Page, ...]


class Groups(msgspec.Struct, frozen=True):
    """What `parked list --group --json` gives."""

    groups: tuple[Group, ...]


class Found(NamedTuple):
    """A letter, what has become of it, and, of a repeat, the number of the first of its kind."""

    parked: Parked
    resolution: Resolution | None
    repeats: int | None


@dataclass(slots=True)
class _Seen:
    """Numbers of open letters by the record that they are of; the newest of them."""

    numbers: OrderedDict[tuple[object, ...], int] = field(default_factory=OrderedDict)

    def first(self, letter: Parked) -> int | None:
        """The number of an earlier letter of that record."""
        first = self.numbers.setdefault(letter.identity, letter.number)
        if len(self.numbers) > REMEMBERED:
            self.numbers.popitem(last=False)
        return None if first == letter.number else first


class Drawer:
    """The topic of dead letters of one sink while it is read: numbers are [first, end)."""

    def __init__(
        self, consumer: Any, at: Theirs, resolutions: Resolutions, *, is_kept: bool
    ) -> None:
        self.log = resolutions.log
        self._consumer = consumer
        self._at = at
        self._resolutions = resolutions
        self._is_kept = is_kept
        self.first: int = consumer.beginning_offsets([at])[at]
        self.end: int = consumer.end_offsets([at])[at]

    def open_records(self) -> int:
        """Records about which nobody has decided; repeats count."""
        resolved = self._resolutions.count(self.first, self.end) if self._is_kept else 0
        return self.end - self.first - resolved

    def walk(self) -> Iterator[Found]:
        """All of them, in order."""
        seen = _Seen()
        for some in self._read():
            resolved = self._resolutions.of([each.number for each in some]) if self._is_kept else {}
            for each in some:
                resolution = resolved.get(each.number)
                # What was refused again after somebody had decided is a letter of its own.
                repeats = None if resolution else seen.first(each)
                yield Found(each, resolution, repeats)

    def _read(self) -> Iterator[list[Parked]]:
        consumer, at = self._consumer, self._at
        consumer.assign([at])
        consumer.seek(at, self.first)
        until_s = time.monotonic() + FETCH_WITHIN_MS / 1000
        while (reached := consumer.position(at)) < self.end:
            records = consumer.poll(200, max_records=AT_ONCE).get(at, ())
            yield [parked(record_of(each)) for each in records if each.offset < self.end]
            if consumer.position(at) > reached:
                until_s = time.monotonic() + FETCH_WITHIN_MS / 1000
            elif time.monotonic() > until_s:
                raise Away(f"Kafka does not hand out {at.topic} from {reached} on.")


@contextmanager
def opened(pipeline: Pipeline, sink: str) -> Iterator[Drawer | None]:
    """The drawer of `sink`; None where nothing was ever parked."""
    settings = chosen(pipeline, sink)[sink]
    topic = dead_letter_topic(pipeline, sink)
    with kafka_consumer(
        pipeline.kafka, fetch_bytes=FETCH_BYTES, within_ms=FETCH_WITHIN_MS
    ) as consumer:
        if topic not in consumer.topics():
            yield None
            return
        parts = consumer.partitions_for_topic(topic) or ()
        if set(parts) != {0}:
            raise Problem(
                "TR-PRK-006",
                f"The topic {topic} has {len(parts)} partitions, so that its letters have no"
                " numbers: dead letters need a topic of one partition, as tailrace makes it.",
            )
        log = log_id(consumer, topic)
        with database(settings.dsn, f"database of sink {sink}") as connection:
            resolutions = Resolutions(connection, group_of(pipeline, sink), log)
            is_kept = resolutions.are_kept()
            yield Drawer(consumer, Theirs(topic, 0), resolutions, is_kept=is_kept)


def read(
    pipeline: Pipeline, sink: str, *, after: int = -1, limit: int = 50, resolved: bool = False
) -> Page:
    """The first `limit` letters with a number above `after`; with `resolved` those, too."""
    with opened(pipeline, sink) as drawer:
        if drawer is None:
            return Page(sink, 0, 0, (), None)
        tables = pipeline.sinks[sink].tables
        letters: dict[int, Letter] = {}
        more = False
        for each, resolution, repeats in drawer.walk():
            if repeats in letters:
                first = letters[repeats]
                letters[repeats] = msgspec.structs.replace(first, repeats=first.repeats + 1)
            if repeats is not None or each.number <= after or (resolution and not resolved):
                continue
            if len(letters) == limit:
                more = True
                break
            letters[each.number] = letter_of(each, sink, tables, resolution)
        records = drawer.end - drawer.first
        found = tuple(letters.values())
        next_after = found[-1].number if more else None
        return Page(sink, records, drawer.open_records(), found, next_after)


def groups(pipeline: Pipeline, sink: str) -> list[Group]:
    """Open letters by table and kind of reason; reads all of them."""
    with opened(pipeline, sink) as drawer:
        if drawer is None:
            return []
        walk = drawer.walk()
        return in_groups(sink, (f.parked for f in walk if not f.resolution and f.repeats is None))


def one(pipeline: Pipeline, sink: str, number: int) -> Letter:
    """That letter, resolved or not. Raises Problem (TR-PRK-002) if there is none."""
    found: Letter | None = None
    with opened(pipeline, sink) as drawer:
        for each, resolution, repeats in drawer.walk() if drawer else ():
            if each.number == number:
                found = letter_of(each, sink, pipeline.sinks[sink].tables, resolution)
            elif found is not None and repeats == number:
                found = msgspec.structs.replace(found, repeats=found.repeats + 1)
    if found is None:
        raise Problem("TR-PRK-002", f"Sink {sink} has no letter {number}: see `parked list`.")
    return found


def open_count(pipeline: Pipeline, sink: str) -> int:
    """
    How many records are parked and undecided, from offsets alone: never too few, but a record that
    was parked twice, by a worker that died in between, counts twice until it is decided.
    """
    with opened(pipeline, sink) as drawer:
        return 0 if drawer is None else drawer.open_records()
