"""
The values that flow: record -> change event -> batch. Pure: no I/O, no clock.

Position orders the changes of one source (docs/guarantees.md): `(gen, commit, lsn)`, compared
from left to right. `gen` counts the lives of the source, `commit` is the LSN of the last commit
that the connector had seen, `lsn` that of the change. A snapshot row has commit -1, so that every
streamed change beats it, also the first ones, whose commit is unknown (0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import msgspec

SNAPSHOT_COMMIT = -1
_digest = blake2b(digest_size=16)  # copied for each id: half as dear as a new one
NOTHING = msgspec.Raw(b"null")


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record. `timestamp_ms` is the producer's or the broker's, as the topic says."""

    at: TopicPartition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A change's place in the order of its source: life, LSN of the commit, LSN of the change."""

    gen: int
    commit: int
    lsn: int


START = Position(0, SNAPSHOT_COMMIT, 0)


class Span(NamedTuple):
    """Offsets [start, stop) of one partition."""

    start: int
    stop: int


class Mark(NamedTuple):
    """
    How far a sink is in one partition: the next offset it wants, the newest position it has, and
    the LSN of the snapshot with which the present life of the source began (0: none seen).

    `log` is the id of the log that the offset counts in: a topic that was deleted and made anew
    has another one. Empty: not known yet.
    """

    next_offset: int
    position: Position
    committed_at_us: int
    snapshot_lsn: int
    log: str = ""


FIRST = Mark(0, START, 0, 0)


class ChangeEvent(msgspec.Struct, frozen=True, gc=False):
    """
    One committed change of one row.

    `op` is Debezium's: c create, u update, d delete, r snapshot read, t truncate. `before` and
    `after` are JSON left unread (`null` for none): only a sink looks inside. `table` is
    `schema.table`; `committed_at_us` is the source's commit time, microseconds since 1970.
    `fresh` means that nothing like it can have been delivered before in this partition; without
    it the change may be a repeat, and the guards have to look.
    """

    record: Record
    table: str
    op: str
    position: Position
    committed_at_us: int
    before: msgspec.Raw
    after: msgspec.Raw
    fresh: bool

    @property
    def key(self) -> bytes:
        """The primary key as Debezium wrote it: the same bytes whenever it is sent again."""
        return self.record.key or b""

    @property
    def id(self) -> bytes:
        """16 bytes, the same however often this change is delivered, by Kafka or by Debezium."""
        return ids([self])[0]


def ids(changes: Sequence[ChangeEvent]) -> list[bytes]:
    """Their event ids: of life, LSN, operation, table and key, and of nothing else."""
    found = []
    for c in changes:
        at = c.position
        text = f"{at.gen!r} {at.lsn!r} {c.op} {c.table} "
        digest = _digest.copy()
        digest.update(text.encode() + (c.record.key or b""))
        found.append(digest.digest())
    return found


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes in Kafka order per partition; may be empty: offsets still move to `marks`."""

    changes: Sequence[ChangeEvent]
    spans: Mapping[TopicPartition, Span]
    marks: Mapping[TopicPartition, Mark]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a sink did with the changes of a batch. `superseded`: a later change of the same key in
    the batch stands for it. `stale`: what the sink already had was as new.
    """

    written: int
    superseded: int
    stale: int

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.written + other.written,
            self.superseded + other.superseded,
            self.stale + other.stale,
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    A record that could not be applied, with the sentence that says why; `position` is its place in
    the order as it was decoded, None where it was not.
    """

    record: Record
    reason: str
    table: str | None = None
    position: Position | None = None
