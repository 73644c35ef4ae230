"""
The log of sagas and of what the supervisor does: every effect, compensation, repair and act of an
operator, with who and why; one chain a database. A row's hash covers the row and the hash before
it, so none can be changed, taken away or moved without a break. Written in the transaction of what
it tells.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from sinks.target import columns, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("log.sql"))
TABLES = {"sagas.log": STATEMENTS["schema"]}
PAGE_ROWS = 5000
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


class Row(msgspec.Struct, frozen=True):
    """An entry as it is stored; `at` is in UTC, `seq` counts from 1 without gaps."""

    seq: int
    subject: str
    kind: str
    step: str
    actor: str
    reason: str
    body: str
    at: datetime
    hash: bytes


class Break(msgspec.Struct, frozen=True):
    """Where the chain does not hold, and what is wrong there."""

    seq: int
    sentence: str


def append(tx: Connection, entries: Sequence[Entry]) -> None:
    """To be called last in a transaction: others that log wait for its end."""
    if not entries:
        return
    tx.execute(STATEMENTS["lock"])
    last = tx.execute(STATEMENTS["last"]).fetchone()
    seq, chain = last if last is not None else (0, b"")
    at = datetime.now(UTC)
    rows = []
    for entry in entries:
        seq += 1
        chain = link(chain, seq, entry, at)
        rows.append((seq, *msgspec.structs.astuple(entry), at, chain))
    tx.execute(STATEMENTS["append"], columns(rows))


def link(before: bytes, seq: int, entry: Entry, at: datetime) -> bytes:
    """The hash of a row from that of the one before it; before the first there is b""."""
    said = [seq, *msgspec.structs.astuple(entry), at.astimezone(UTC).isoformat()]
    return sha256(before + json.dumps(said, ensure_ascii=False).encode()).digest()


def rows(tx: Connection, subject: str | None = None) -> Iterator[Row]:
    """All rows in their order, or those of one subject; a page of them is in memory."""
    after = 0
    while page := tx.execute(STATEMENTS["page"], [after, subject, subject, PAGE_ROWS]).fetchall():
        yield from (Row(*row) for row in page)
        after = page[-1][0]


def length(tx: Connection) -> int:
    """How many rows there are."""
    last = tx.execute(STATEMENTS["last"]).fetchone()
    return 0 if last is None else int(last[0])


def verify(tx: Connection, progress: Callable[[int], None] = lambda _: None) -> Iterator[Break]:
    """Each place where the chain does not hold."""
    chain, expected = b"", 1
    for row in rows(tx):
        if row.seq != expected:
            yield Break(expected, f"rows {expected} to {row.seq - 1} are missing")
        entry = Entry(*msgspec.structs.astuple(row)[1:7])
        if link(chain, row.seq, entry, row.at) != row.hash:
            yield Break(row.seq, f"row {row.seq} is not what was written, or not where it was")
        chain, expected = row.hash, row.seq + 1
        if row.seq % PAGE_ROWS == 0:
            progress(row.seq)
