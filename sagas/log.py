"""
The log of sagas and of what the supervisor does: every effect, compensation, repair and act of an
operator, with who and why; one chain a database. A row's hash covers the row and the hash before
it, so none can be changed, taken away or moved without a break. Written in the transaction of what
it tells.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg.sql import SQL

from eventstore import outbox
from eventstore.outbox import Outgoing
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("log.sql"))
TABLES = {"sagas.log": STATEMENTS["schema"]}
PAGE_ROWS = 5000
# The log comes last, as its lock is held from there on: so it waits for the count of what is sent.
_SAY = (
    SQL("WITH sent AS ({} RETURNING 1) {} FROM (SELECT count(*) FROM sent) AS all_sent")
    .format(SQL(outbox.STATEMENTS["publish"]), SQL(STATEMENTS["append"]))
    .as_bytes()
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Connection = psycopg.Connection[Any]


class Entry(msgspec.Struct, frozen=True):
    """
    What happened to one subject: a saga, by its id, or what a supervisor watches. `body` is JSON:
    what there is to know beside the words.
    """

    subject: str
    kind: str
    step: str
    actor: str
    reason: str
    body: str = "{}"


class Line(msgspec.Struct, frozen=True):
    """An entry in its place; `at` is in UTC, `seq` counts from 1 without gaps."""

    seq: int
    subject: str
    kind: str
    step: str
    actor: str
    reason: str
    body: str
    at: datetime


class Row(Line, frozen=True):
    """As it is stored, with its hash."""

    hash: bytes

    @property
    def entry(self) -> Entry:
        """What was logged."""
        return Entry(self.subject, self.kind, self.step, self.actor, self.reason, self.body)


class Break(msgspec.Struct, frozen=True):
    """Where the chain does not hold, and what is wrong there."""

    seq: int
    sentence: str


def append(tx: Connection, entries: Sequence[Entry]) -> None:
    """To be called last in a transaction: others that log wait for its end."""
    if entries:
        tx.execute(STATEMENTS["append"], [as_json(entries), datetime.now(UTC)])


def say(tx: Connection, messages: Sequence[Outgoing], entries: Sequence[Entry]) -> None:
    """As `send` and `append` in one statement: the way there and back costs more than both."""
    if messages and entries:
        rows = as_json(map(outbox.columns, messages))
        tx.execute(_SAY, [rows, as_json(entries), datetime.now(UTC)])
    elif messages:
        outbox.send(tx, messages)
    else:
        append(tx, entries)


def link(before: bytes, seq: int, entry: Entry, at: datetime) -> bytes:
    """
    The hash of a row from that of the one before it, as `sagas.append_log` makes it; before the
    first there is b"". Texts have their length in front, so that none can pass for two.
    """
    at_us = (at - _EPOCH) // timedelta(microseconds=1)
    texts = (text.encode() for text in msgspec.structs.astuple(entry))
    said = b"".join(len(text).to_bytes(4) + text for text in texts)
    return sha256(before + seq.to_bytes(8) + at_us.to_bytes(8, signed=True) + said).digest()


def rows(tx: Connection, subject: str | None = None) -> Iterator[Row]:
    """All rows in their order, or those of one subject; a page of them is in memory."""
    after = 0
    while found := page(tx, after, PAGE_ROWS, subject):
        yield from found
        after = found[-1].seq


def page(tx: Connection, after: int, limit: int, subject: str | None = None) -> list[Row]:
    """The next rows after one."""
    return [Row(*row) for row in tx.execute(STATEMENTS["page"], [after, subject, subject, limit])]


def some(tx: Connection, numbers: Sequence[int]) -> list[Row]:
    """Those of these rows that there are."""
    return [Row(*row) for row in tx.execute(STATEMENTS["some"], [numbers]).fetchall()]


def length(tx: Connection) -> int:
    """How many rows there are."""
    last = tx.execute(STATEMENTS["last"]).fetchone()
    return 0 if last is None else int(last[0])


def verify(tx: Connection, progress: Callable[[int], None] = lambda _: None) -> Iterator[Break]:
    """Each place where the chain does not hold."""
    seq, chain = 0, b""
    for row in rows(tx):
        yield from breaks(seq, chain, row)
        seq, chain = row.seq, row.hash
        if row.seq % PAGE_ROWS == 0:
            progress(row.seq)


def breaks(seq: int, chain: bytes, row: Row) -> Iterator[Break]:
    """What is wrong with a row that comes after the one of this number and hash."""
    if row.seq != seq + 1:
        yield Break(seq + 1, f"rows {seq + 1} to {row.seq - 1} are missing")
    if link(chain, row.seq, row.entry, row.at) != row.hash:
        yield Break(row.seq, f"row {row.seq} is not what was written, or not where it was")
