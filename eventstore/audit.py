"""
What can be proved about stored events: a hash chain for each stream, sealed from time to time.

The hash of an event covers that of the one before it and every stored column but `seq`, which is
no part of what happened. A seal keeps the hash that a stream had at a position: whoever changes,
removes or moves an event before it cannot make the chain meet the seal again
(docs/adr/0010-seals-beside-the-events.md).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, LiteralString

import msgspec
from pydantic import ValidationError

from eventstore.aggregate import Aggregate, Loaded, folded
from eventstore.recorded import Connection, Meta, Stored
from eventstore.shred import opened
from eventstore.store import PAGE_EVENTS, pages
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("audit.sql"))
MOST_FINDINGS = 100

Progress = Callable[[int], None]
"""Told how many events are done."""


class Entry(msgspec.Struct, frozen=True):
    """
    An event as it is stored: when, who, what, why. `hash` is that of the chain up to here;
    `sealed`: it is kept by a seal.
    """

    pos: int
    at: datetime
    type: str
    version: int
    id: str
    actor: str | None
    correlation: str | None
    causation: str | None
    data: dict[str, Any]
    hash: str
    sealed: bool


class History(msgspec.Struct, frozen=True):
    """Every event of a stream."""

    stream: str
    events: list[Entry]


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was, or not as it must be."""

    stream: str
    sentence: str


class Sealed(msgspec.Struct, frozen=True):
    """What one run has sealed."""

    streams: int
    events: int


class Verified(msgspec.Struct, frozen=True):
    """
    What was looked at. `events_sealed` of the events are kept by a seal. A snapshot is not checked
    if no aggregate of its category and schema version was named. `findings` are the first of all
    that `found` counts.
    """

    ok: bool
    streams: int
    events: int
    events_sealed: int
    snapshots_checked: int
    snapshots_unchecked: int
    found: int
    findings: list[Finding]


def link(before: bytes, row: Stored) -> bytes:
    """The hash of an event from that of the one before it; before the first there is b""."""
    said = [*row[:2], str(row.id), *row[3:7], row.at.astimezone(UTC).isoformat()]
    return sha256(before + json.dumps(said, ensure_ascii=False).encode()).digest()


def history(tx: Connection, stream: str) -> Iterator[Entry]:
    """Every event of a stream from the first; a page of them is in memory."""
    found = tx.execute(STATEMENTS["sealed_to"], [stream]).fetchone()
    sealed_to = -1 if found is None or found[0] is None else found[0]
    chain = b""
    for page in pages(tx, stream):
        for row, plain in zip(page, opened(tx, page), strict=True):
            chain = link(chain, row)
            yield _entry(plain, chain, is_sealed=row.pos <= sealed_to)


def _entry(row: Stored, chain: bytes, *, is_sealed: bool) -> Entry:
    why = Meta.from_json(row.meta)
    return Entry(
        row.pos,
        row.at.astimezone(UTC),
        row.type,
        row.version,
        str(row.id),
        why.actor,
        why.correlation,
        why.causation,
        json.loads(row.data),
        chain.hex(),
        is_sealed,
    )


def seal(connection: Connection, progress: Progress = lambda _: None) -> Sealed:
    """
    Seals the end of each stream that has grown, a page of streams in a transaction.
    It goes on from the last seals and does not look behind them: that is what `verify` does.
    """
    streams = events = 0
    for stream, pos, hash_ in _pages(connection, "unsealed", [], 1, [""]):
        last, chain = pos, hash_ or b""
        for page in pages(connection, stream, pos + 1):
            for row in page:
                last, chain = row.pos, link(chain, row)
        connection.execute(STATEMENTS["seal"], [stream, last, chain])
        streams, events = streams + 1, events + last - pos
        if streams % PAGE_EVENTS == 0:
            connection.commit()
        progress(events)
    connection.commit()
    return Sealed(streams, events)


def _pages(
    tx: Connection, statement: str, values: list[Any], key: int, after: list[Any]
) -> Iterator[tuple[Any, ...]]:
    """All rows, a page at a time; the first `key` columns of a page's last row begin the next."""
    query: LiteralString = STATEMENTS[statement]
    while rows := tx.execute(query, [*values, *after, PAGE_EVENTS]).fetchall():
        yield from rows
        after = list(rows[-1][:key])


@dataclass
class _Report:
    """What `verify` has seen so far."""

    streams: int = 0
    events: int = 0
    events_sealed: int = 0
    snapshots: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, stream: str, sentence: str) -> None:
        self.found += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(stream, sentence))


def verify(
    tx: Connection, aggregates: Sequence[Aggregate[Any]], progress: Progress = lambda _: None
) -> Verified:
    """
    Positions have no gaps, every seal is met by the chain, and every snapshot of `aggregates` is
    the fold of its stream. Writers may go on meanwhile. Raises Invalid for an event that an
    aggregate's contracts cannot read.
    """
    report = _Report()
    rows = _pages(tx, "everything", [], 2, ["", -1])
    for stream, events in groupby(rows, key=lambda row: row[0]):
        _verify_stream(report, stream, events, progress)
    for stream, pos in tx.execute(STATEMENTS["bereft"]):
        report.add(stream, f"its event {pos} was sealed, and is gone")
    for aggregate in aggregates:
        _verify_snapshots(report, tx, aggregate)
    row = tx.execute(STATEMENTS["count_snapshots"]).fetchone()
    assert row is not None
    return Verified(
        report.found == 0,
        report.streams,
        report.events,
        report.events_sealed,
        report.snapshots,
        max(0, row[0] - report.snapshots),
        report.found,
        report.findings,
    )


def _verify_stream(
    report: _Report, stream: str, rows: Iterator[tuple[Any, ...]], progress: Progress
) -> None:
    chain, expected, unsealed_from = b"", 0, 0
    for *columns, sealed in rows:
        row = Stored(*columns)
        pos = row.pos
        if pos != expected:
            report.add(stream, f"its events {expected} to {pos - 1} are missing")
        chain, expected = link(chain, row), pos + 1
        report.events += 1
        if sealed is not None:
            if chain != sealed:
                report.add(stream, f"its events {unsealed_from} to {pos} are not what was sealed")
                chain = sealed  # what comes later is judged by itself
            report.events_sealed += pos + 1 - unsealed_from
            unsealed_from = pos + 1
        if report.events % PAGE_EVENTS == 0:
            progress(report.events)
    report.streams += 1


def _verify_snapshots(report: _Report, tx: Connection, aggregate: Aggregate[Any]) -> None:
    begin, end = aggregate.stream(""), f"{aggregate.category}."  # "." is what comes after "-"
    rows = _pages(tx, "snapshots", [aggregate.schema_version, end], 2, [begin, -1])
    for stream, snapshots in groupby(rows, key=lambda row: row[0]):
        loaded: Loaded[Any] | None = None
        for _, pos, text in snapshots:
            report.snapshots += 1
            loaded = folded(tx, aggregate, stream, loaded, pos + 1)
            if loaded.version != pos + 1:
                report.add(stream, f"its snapshot at pos {pos} is of events that are not there")
            elif not _same(loaded.state, text):
                report.add(stream, f"its snapshot at pos {pos} is not the fold of its events")


def _same(state: Any, stored: str) -> bool:
    try:
        return bool(type(state).model_validate_json(stored) == state)
    except ValidationError:
        return False
