"""
Debezium's envelope -> ChangeEvent. Pure: what it knows of a partition came in through `start`.

Which fields of an event survive a restart of the connector, and so may take part in order and
identity, was measured: docs/guarantees.md, "Identity and order".
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from consumer.errors import Diverged, Unreadable
from consumer.event import (
    NOTHING,
    SNAPSHOT_COMMIT,
    ChangeEvent,
    DeadLetter,
    Mark,
    Position,
    Record,
    TopicPartition,
)

DIVERGENCE_SLACK_US = 5_000_000  # commit times of one timeline may be this far out of order


class _Source(msgspec.Struct, gc=False):
    schema: str
    table: str
    lsn: int | None = None
    sequence: str | None = None
    snapshot: str | bool | None = None
    ts_us: int = 0


class _Envelope(msgspec.Struct, gc=False):
    op: str
    source: _Source
    before: msgspec.Raw = NOTHING
    after: msgspec.Raw = NOTHING


class _Payload(msgspec.Struct, gc=False):
    payload: msgspec.Raw


Identity = tuple[str, str, bytes | None]  # table, op, key

_decode = msgspec.json.Decoder(_Envelope).decode
_wrapped = msgspec.json.Decoder(_Payload).decode


class _Reached:
    """How far one partition was decoded, and which changes stand at exactly that position."""

    __slots__ = ("committed_at_us", "last", "log", "others", "position", "snapshot_lsn")

    def __init__(self, mark: Mark) -> None:
        self.position = mark.position
        self.committed_at_us = mark.committed_at_us
        self.snapshot_lsn = mark.snapshot_lsn
        self.log = mark.log
        self.last: ChangeEvent | None = None  # None: not known
        self.others: tuple[Position, set[Identity]] = (mark.position, set())

    def is_new(self, position: Position, identity: Identity) -> bool:
        """Not above all before: fresh even so? One LSN can carry many rows: the key tells."""
        last = self.last
        if position < self.position or last is None:
            return False
        if self.others[0] != position:
            self.others = (position, {(last.table, last.op, last.record.key)})
        others = self.others[1]
        if identity in others:
            return False
        others.add(identity)
        return True


class DebeziumDecoder:
    """Decodes the events of `tables` (`schema.table`), as JSON without an embedded schema."""

    def __init__(self, tables: Collection[str]) -> None:
        self._tables = frozenset(tables)
        self._reached: dict[TopicPartition, _Reached] = {}

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        self._reached = {at: _Reached(mark) for at, mark in marks.items()}

    def decode(
        self, polled: Mapping[TopicPartition, Sequence[Record]]
    ) -> tuple[list[ChangeEvent], list[DeadLetter]]:
        """Raises Diverged."""
        events: list[ChangeEvent] = []
        unreadable: list[DeadLetter] = []
        for at, records in polled.items():
            self._decode_partition(records, self._reached[at], events, unreadable)
        return events, unreadable

    def marks(
        self, polled: Mapping[TopicPartition, Sequence[Record]]
    ) -> dict[TopicPartition, Mark]:
        """Where a sink stands once it has all that was decoded of these partitions."""
        marks = {}
        for at, records in polled.items():
            reached = self._reached[at]
            marks[at] = Mark(
                records[-1].offset + 1,
                reached.position,
                reached.committed_at_us,
                reached.snapshot_lsn,
                reached.log,
            )
        return marks

    def _decode_partition(  # noqa: C901 - flat on purpose: calls cost more than the work
        self,
        records: Sequence[Record],
        reached: _Reached,
        events: list[ChangeEvent],
        unreadable: list[DeadLetter],
    ) -> None:
        append = events.append
        high, committed_at_us = reached.position, reached.committed_at_us
        gen = high.gen
        schema = name = table = ""  # of the last event: neighbours mostly share them
        head, commit = "?", 0  # of the last sequence: rows of one transaction share it
        for record in records:
            value, key = record.value, record.key
            if value is None:  # a tombstone for compaction: the delete came before it
                continue
            try:
                envelope = _decode(value)
                source, op = envelope.source, envelope.op
                if op == "m":  # a logical message: for others
                    continue
                if source.table != name or source.schema != schema:
                    table = self._known(source)
                    schema, name = source.schema, source.table
                text, lsn, at_us = source.sequence, source.lsn, source.ts_us
                if text is None or text[: len(head)] != head:
                    head, commit = _head(text)
                if commit and op in "cud" and key is not None and lsn is not None:
                    position = Position(gen, commit, lsn)
                else:
                    position = _rare(op, key, table, source, reached)
                fresh = position > high
                if not fresh:
                    _check_divergence(record, position, source, reached)
                    fresh = reached.is_new(position, (table, op, key))
                event = ChangeEvent(
                    record, table, op, position, at_us, envelope.before, envelope.after, fresh
                )
                append(event)
                if position > high:
                    reached.position = high = position
                    reached.last = event
                    gen = position.gen
                if at_us > committed_at_us:
                    reached.committed_at_us = committed_at_us = at_us
            except Unreadable as error:
                unreadable.append(DeadLetter(record, str(error)))
            except (msgspec.MsgspecError, RecursionError, ValueError) as error:
                unreadable.append(DeadLetter(record, _why(value, error)))

    def _known(self, source: _Source) -> str:
        table = f"{source.schema}.{source.table}"
        if table not in self._tables:
            raise Unreadable(
                f"table {table} is not among this sink's tables: add it to `tables`, or keep its "
                "events out of the topic"
            )
        return table


def _head(text: str | None) -> tuple[str, int]:
    """The beginning of `["last commit LSN","LSN"]` up to the commit's end, and the commit."""
    try:
        if text is not None and text[:2] == '["':
            end = text.index('"', 2)
            return text[: end + 1], int(text[2:end])
    except ValueError:
        pass
    return "?", 0


def _sequence(source: _Source) -> tuple[int, int]:
    """Commit and LSN; the commit is null, and counts as 0, before the connector has seen one."""
    text, lsn = source.sequence, source.lsn
    if text is not None and lsn is not None:
        if text.startswith("[null,"):
            return 0, lsn
        if commit := _head(text)[1]:
            return commit, lsn
    raise Unreadable(f"`source.sequence` and `source.lsn` are no pair of LSNs: {text!r:.80}")


def _rare(op: str, key: bytes | None, table: str, source: _Source, reached: _Reached) -> Position:
    """The position of a truncate or a snapshot row; refuses what no sink could apply."""
    if op not in ("c", "u", "d", "r", "t"):
        raise Unreadable(f"the operation {op!r:.20} of an event of {table} is not known")
    if key is None and op != "t":
        raise Unreadable(
            f"an event of {table} has no key, so it has no identity: give the table a primary "
            "key, or a replica identity and `message.key.columns` in the connector"
        )
    if op == "r":
        return _snapshot_position(source, reached)
    return Position(reached.position.gen, *_sequence(source))


def _snapshot_position(source: _Source, reached: _Reached) -> Position:
    """
    A row of a snapshot. One that is newer than what was streamed opens a new life (gen + 1); a
    repeat of an older one stays in this life, below all that was streamed.
    """
    if source.snapshot == "incremental":
        if source.sequence is None:
            return reached.position
        commit, lsn = _incremental(source.sequence)
        return Position(reached.position.gen, commit, lsn)
    if source.lsn is None:
        raise Unreadable("a snapshot row without `source.lsn`: it has no place in the order")
    gen, commit, lsn = reached.position.gen, reached.position.commit, reached.position.lsn
    newer = source.lsn > max(commit, lsn) or (
        source.ts_us > reached.committed_at_us + DIVERGENCE_SLACK_US
    )
    if newer and source.lsn != reached.snapshot_lsn:
        reached.snapshot_lsn = source.lsn
        if commit != SNAPSHOT_COMMIT:
            gen += 1
    return Position(gen, SNAPSHOT_COMMIT, source.lsn)


def _incremental(sequence: str) -> tuple[int, int]:
    """An incremental snapshot row has no `lsn`; its sequence is that of the window's end."""
    parts = sequence.split('"')
    try:
        return (int(parts[1]) if len(parts) == 5 else 0), int(parts[-2])
    except (ValueError, IndexError):
        raise Unreadable(f"`source.sequence` is not a pair of LSNs: {sequence!r:.80}") from None


def _check_divergence(
    record: Record, position: Position, source: _Source, reached: _Reached
) -> None:
    if source.ts_us <= reached.committed_at_us + DIVERGENCE_SLACK_US:
        return
    raise Diverged(
        f"{record.at.topic}[{record.at.partition}] offset {record.offset}: {position} lies not "
        f"after {reached.position}, which was applied, but was committed later. The source was "
        "restored or failed over to another timeline. Stop here, compare with `tailrace verify`, "
        "and take a new snapshot"
    )


def _why(value: bytes, error: Exception) -> str:
    """A sentence for a value that is no envelope; never its content, which may be private."""
    if isinstance(error, msgspec.ValidationError):
        try:
            _wrapped(value)
        except msgspec.MsgspecError:
            return f"not a change event of Debezium: {error}"
        return (
            "the event carries its schema (`payload` inside): set "
            "`value.converter.schemas.enable=false` in the connector"
        )
    if isinstance(error, RecursionError):
        return "malformed JSON: nested too deeply"
    return f"malformed JSON: {error}"
