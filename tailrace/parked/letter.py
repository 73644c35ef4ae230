"""A dead letter as people and programs see it, made from its record in Kafka. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from consumer.deadletter import HEADER, notes
from consumer.decode import DebeziumDecoder
from consumer.errors import Diverged
from consumer.event import FIRST, ChangeEvent, Position, Record, TopicPartition

SHOWN_BYTES = 4 << 10  # of each value
SHOWN_CHARACTERS = 500  # of each name and sentence

FOREIGN = "it has none of the headers that tell where a letter comes from, so it is none of ours"
NO_POSITION = "it was parked without its place in the order of changes"


class Resolution(msgspec.Struct, frozen=True):
    """
    What has become of a letter, and by which action. `effect` of a redrive: written, or stale where
    the sink had something as new.
    """

    outcome: Literal["redriven", "discarded"]
    effect: Literal["written", "stale", "none"]
    at: datetime
    actor: str
    reason: str
    action_id: int


class Letter(msgspec.Struct, frozen=True):
    """
    One parked record. `number` is its offset in the topic of dead letters; `topic`, `partition`,
    `offset` and `timestamp_ms` are those of the record itself. Times end in _s (seconds since
    1970). Values are cut text, for eyes: `value` is the whole event where it cannot be read as a
    change. `repeats`: how often the same record was parked again, by workers that died in between.
    `unreadable`: why it can only be discarded.
    """

    number: int
    sink: str
    reason: str
    kind: str
    parked_at_s: float
    table: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp_ms: int | None = None
    op: str | None = None
    key: str | None = None
    before: str | None = None
    after: str | None = None
    value: str | None = None
    lsn: int | None = None
    committed_at_s: float | None = None
    event_id: str | None = None
    unreadable: str | None = None
    repeats: int = 0
    resolution: Resolution | None = None


class Group(msgspec.Struct, frozen=True):
    """Open letters of one sink that were parked for the same kind of reason in one table."""

    sink: str
    table: str | None
    kind: str
    count: int
    first_parked_at_s: float
    last_parked_at_s: float
    example: str
    example_number: int


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A record as it was before it was parked, and what was noted with it."""

    number: int
    parked_at_s: float
    record: Record
    notes: Mapping[str, str]

    @property
    def reason(self) -> str:
        return self.notes.get("reason", FOREIGN)

    @property
    def table(self) -> str | None:
        return self.notes.get("table") or None

    @property
    def is_ours(self) -> bool:
        """Whether it says which record it was."""
        at = self.record.at
        return bool(at.topic) and at.partition >= 0 and self.record.offset >= 0

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for letters of one record; the time tells topics of one name apart."""
        record = self.record
        foreign = None if self.is_ours else self.number
        return (record.at, record.offset, record.timestamp_ms, foreign)

    @property
    def position(self) -> Position | None:
        """Its place in the order, as the worker had decoded it."""
        numbers = [_number(text) for text in self.notes.get("position", "").split()]
        match numbers:
            case [int(gen), int(commit), int(lsn)]:
                return Position(gen, commit, lsn)
        return None


class Unredrivable(Exception):
    """The letter cannot be read as a change with a place in the order; the text says why."""


def parked(stored: Record) -> Parked:
    """From the record in the topic of dead letters; whatever is in its headers."""
    own = notes(stored.headers)
    others = [header for header in stored.headers if not header[0].startswith(HEADER)]
    numbers = [_number(own.get(name, "")) for name in ("partition", "offset")]
    partition, offset = (-1 if number is None else number for number in numbers)
    at = TopicPartition(own.get("topic", ""), partition)
    timestamp_ms = _number(own.get("timestamp_ms", "")) or 0
    record = Record(at, offset, stored.key, stored.value, others, timestamp_ms)
    short = {name: _cut(text, SHOWN_CHARACTERS) for name, text in own.items()}
    return Parked(stored.offset, stored.timestamp_ms / 1000, record, short)


def change_of(letter: Parked, tables: Collection[str]) -> ChangeEvent:
    """
    The change, at the place that the worker gave it, and never fresh: the guards have to look.

    The worker's own place counts, life (`gen`) and all, since decoding it now, from a partition
    that has moved on, would put a change of an older life, or a row of an older snapshot, above
    rows that are newer. Raises Unredrivable.
    """
    position = letter.position
    if not letter.is_ours:
        raise Unredrivable(FOREIGN)
    if position is None:
        raise Unredrivable(NO_POSITION)
    change = _decoded(letter.record, tables)
    if change is None:
        raise Unredrivable(f"it is no change of this sink's tables: {letter.reason}")
    return msgspec.structs.replace(change, position=position, fresh=False)


def letter_of(
    letter: Parked, sink: str, tables: Collection[str], resolution: Resolution | None = None
) -> Letter:
    """For showing: every text in it is cut."""
    record = letter.record
    unreadable: str | None = None
    is_event = any(name.startswith("ce_") for name, _ in record.headers)  # for a handler to judge
    change: ChangeEvent | None = None
    try:
        change = None if is_event else change_of(letter, tables)
    except Unredrivable as error:
        unreadable = str(error)
    shown = change or _decoded(record, tables)
    ours = letter.is_ours
    return Letter(
        number=letter.number,
        sink=sink,
        reason=letter.reason,
        kind=kind_of(letter.reason),
        parked_at_s=letter.parked_at_s,
        table=letter.table or (shown.table if shown else None),
        topic=_cut(record.at.topic, SHOWN_CHARACTERS) if ours else None,
        partition=record.at.partition if ours else None,
        offset=record.offset if ours else None,
        timestamp_ms=record.timestamp_ms if ours else None,
        op=shown.op if shown else None,
        key=_text(record.key),
        before=_row(shown.before) if shown else None,
        after=_row(shown.after) if shown else None,
        value=None if shown else _text(record.value),
        lsn=shown.position.lsn if shown else None,
        committed_at_s=shown.committed_at_us / 1e6 if shown else None,
        event_id=change.id.hex() if change else None,
        unreadable=unreadable,
        resolution=resolution,
    )


def kind_of(reason: str) -> str:
    """
    The reason without what differs from letter to letter: quoted values and numbers. An SQLSTATE
    stays, as do names.
    """
    text = _QUOTED.sub("…", reason)
    text = _STATE_OR_NUMBER.sub(lambda found: found[0] if found[1] else "N", text)
    return _cut(text, SHOWN_CHARACTERS)


def in_groups(sink: str, letters: Iterable[Parked]) -> list[Group]:
    """The most numerous first; keeps no letter."""
    found: dict[tuple[str | None, str], Group] = {}
    for each in letters:
        kind, at_s = kind_of(each.reason), each.parked_at_s
        group = found.get((each.table, kind))
        if group is None:
            group = Group(sink, each.table, kind, 0, at_s, at_s, each.reason, each.number)
        found[each.table, kind] = msgspec.structs.replace(
            group,
            count=group.count + 1,
            first_parked_at_s=min(group.first_parked_at_s, at_s),
            last_parked_at_s=max(group.last_parked_at_s, at_s),
        )
    return sorted(found.values(), key=lambda group: -group.count)


_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_STATE_OR_NUMBER = re.compile(r"(?<=\()([0-9A-Z]{5}) (?=[A-Z])|(?<![\w.])-?\d+(?:[.,]\d+)*(?!\w)")


def _decoded(record: Record, tables: Collection[str]) -> ChangeEvent | None:
    """Read alone; its place is then that of the first life, which only `change_of` puts right."""
    decoder = DebeziumDecoder(tables)
    decoder.start({record.at: FIRST})
    try:
        changes, _ = decoder.decode({record.at: [record]})
    except Diverged:
        return None
    return changes[0] if changes else None


def _row(row: msgspec.Raw) -> str | None:
    text = bytes(row)
    return None if text == b"null" else _text(text)


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    if len(value) <= SHOWN_BYTES:
        return value.decode(errors="replace")
    head = value[:SHOWN_BYTES].decode(errors="ignore")
    return f"{head}… ({len(value):,} bytes)"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,19}", text, re.ASCII) else None
