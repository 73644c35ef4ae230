"""
The life of a change as plain values: the command's text, its JSON and a page show these.

None means "not known". Times ending in `_at_s` are seconds since 1970, those of the source and of
Connect put right by what their clocks were found to be off, where that is worth it (`skews`).
"""

from typing import Literal

import msgspec

from tailrace.watch.view import Skew

FateState = Literal["not reached", "settled", "parked", "unknown"]
RowState = Literal[
    "shows it",
    "shows a later change",
    "shows an earlier change",
    "deleted by it",
    "deleted by a later change",
    "is not there",
    "unknown",
]


class Moment(msgspec.Struct, frozen=True):
    """
    A step of the way. `after_s` since the step before, on whose clock too: never below zero;
    `is_skewed` where the clocks said it was. `clock` is source, connect, broker or worker.
    """

    name: str
    clock: str
    at_s: float | None
    after_s: float | None
    is_skewed: bool = False


class Batch(msgspec.Struct, frozen=True):
    """The batch in which a record was settled: of how many, and how these ended."""

    worker: int
    records: int
    ended: dict[str, int]


class Letter(msgspec.Struct, frozen=True):
    """
    A dead letter: its number, which is its offset among the sink's, why it was parked, and whether
    somebody has decided about it since.
    """

    number: int
    reason: str
    outcome: Literal["redriven", "discarded"] | None = None


class Fate(msgspec.Struct, frozen=True):
    """
    What one sink did with one delivery. `next_offset` is how far it is in that partition. `moments`
    and `batch` are there as long as a worker remembers them; `why` says what is not known.
    """

    sink: str
    state: FateState
    next_offset: int | None
    moments: tuple[Moment, ...] = ()
    batch: Batch | None = None
    letters: tuple[Letter, ...] = ()
    why: str | None = None


class Delivery(msgspec.Struct, frozen=True):
    """One record that carries the change. `repeat_of`: the offset of the first that did."""

    topic: str
    partition: int
    offset: int
    repeat_of: int | None
    moments: tuple[Moment, ...]
    fates: tuple[Fate, ...]


class RowNow(msgspec.Struct, frozen=True):
    """What the row of this change is in a sink now. `lsn` is that of the change it shows."""

    sink: str
    state: RowState
    lsn: int | None = None
    why: str | None = None


class Change(msgspec.Struct, frozen=True):
    """
    `op` is Debezium's (c, u, d, r, t), None for a record that cannot be decoded, and then
    `unreadable` says why. `key`, `before` and `after` are JSON; the rows only where asked for, cut
    to some length. `lsn` is that of the change, `commit_lsn` of the last commit before it.
    """

    id: str | None
    table: str | None
    op: str | None
    key: str | None
    lsn: int | None
    commit_lsn: int | None
    transaction: int | None
    deliveries: tuple[Delivery, ...]
    rows: tuple[RowNow, ...]
    before: str | None = None
    after: str | None = None
    unreadable: str | None = None


class Searched(msgspec.Struct, frozen=True):
    """Offsets [start, stop) of a partition, from the time of the first record there on."""

    topic: str
    partition: int
    start: int
    stop: int
    began_at_s: float | None


class Trace(msgspec.Struct, frozen=True):
    """
    `changes` are the newest of those `found`, oldest first. `short` says where the search ended
    too early and how to go further; `hint` what else is known of something that was not found.
    """

    what: str
    kind: Literal["lsn", "event id", "key"]
    found: int
    changes: tuple[Change, ...]
    searched: tuple[Searched, ...]
    without_topic: tuple[str, ...]
    short: str | None
    hint: str | None
    skews: tuple[Skew, ...]
    unknown: tuple[str, ...]
