"""
Append-only streams of events in Postgres, in the caller's own transaction.

A stream is named `category-id`; its version is the number of its events. An append is one INSERT,
without a lock on the table: two writers at one stream meet at its primary key, all others never.
Which of two streams' events was first, only the log of the database knows: Debezium reads it.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from psycopg import sql
from psycopg.errors import UniqueViolation

from eventstore.contracts import Contracts, Event, Invalid
from eventstore.recorded import NO_META, Connection, Meta, Recorded, Stored, new_id
from eventstore.shred import closed, opened
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("store.sql"))
NEW: Final = 0
"""The stream must not be there yet."""
ANY: Final = None
"""Wherever the stream ends now."""
TRIES_AT_ANY_END = 100
PAGE_EVENTS = 1000

At = int | datetime | None
"""A state of a stream: after so many events, as of a time, or (None) now."""

_STREAM = re.compile(r"[a-z][a-z0-9_]*-.+", re.DOTALL)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LAST_POS = 2**63 - 1


class Conflict(Exception):
    """
    The stream does not end where the caller believed: nothing was appended, and the transaction can
    go on. `expected` is None for ANY; `actual` is its version now, None where it is not known.
    """

    def __init__(
        self, stream: str, expected: int | None, actual: int | None, because: str = ""
    ) -> None:
        wanted = "any version" if expected is None else f"version {expected}"
        super().__init__(
            f"{stream} was to be appended to at {wanted}, but it is at version"
            f" {'?' if actual is None else actual}"
            f"{because and f', and {because}'}: load it again, and decide anew"
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


def create_schema(connection: Connection) -> None:
    """Makes the schema `eventstore` where it is missing; the caller commits."""
    connection.execute(STATEMENTS["make_alone"])
    connection.execute(STATEMENTS["schema"])


def grant_append(connection: Connection, role: str) -> None:
    """Lets a role read and append, and no more; the caller commits."""
    statement = sql.SQL(STATEMENTS["grant_append"])
    connection.execute(statement.format(role=sql.Identifier(role)))


def category(stream: str) -> str:
    """`account` of `account-42`. Raises Invalid."""
    if not _STREAM.fullmatch(stream) or "\0" in stream:
        raise Invalid(f"a stream is named like account-42, not {stream!r:.80}")
    return stream.partition("-")[0]


def append(
    tx: Connection,
    contracts: Contracts,
    stream: str,
    events: Sequence[Event],
    *,
    expected: int | None,
    meta: Meta = NO_META,
    ids: Sequence[UUID] | None = None,
) -> tuple[Recorded, ...]:
    """
    Appends all of `events` or none, in one statement and the caller's transaction, and returns them
    as stored. `expected` is the version that the caller saw, or NEW, or ANY.

    An id names one event for ever: where these events are in this stream already, in this order,
    with these `ids` (and from version `expected` on), it was done before; they are returned.

    Raises Conflict; Invalid for an event that its contract does not allow; as every statement does,
    SerializationFailure above READ COMMITTED. Only where two append one id at the same moment,
    Conflict leaves a transaction that must be rolled back.
    """
    category(stream)
    named = [new_id() for _ in events] if ids is None else list(ids)
    if len(set(named)) != len(events):
        raise Invalid(f"{len(events)} event(s) need as many different ids, not {len(set(named))}")
    data = closed(tx, stream, events, [_encoded(contracts, event) for event in events])
    of = [type(event).contract for event in events]
    rows = (
        f'["{id_}", "{its.name}", {its.version}, {text}]'
        for id_, its, text in zip(named, of, data, strict=True)
    )
    values = {
        "stream": stream,
        "expected": expected,
        "events": f"[{', '.join(rows)}]",
        "meta": meta.as_json(),
    }
    for _ in range(TRIES_AT_ANY_END if expected is ANY else 1):
        if ids and (done := _done_before(tx, contracts, stream, events, expected, ids)):
            return done
        try:
            there = tx.execute(STATEMENTS["append"], values).fetchall()
        except UniqueViolation as error:
            raise Conflict(stream, expected, None, "an id was taken meanwhile") from error
        if len(there) == len(events):
            return tuple(
                Recorded(stream, pos, id_, its.name, its.version, event, at.astimezone(UTC), meta)
                for (pos, at), id_, its, event in zip(there, named, of, events, strict=True)
            )
    raise Conflict(stream, expected, length(tx, stream))


def _encoded(contracts: Contracts, event: Event) -> str:
    text = contracts.encode(event)
    if "\\u0000" in text and _NUL.search(text):  # the first is quick, and all but never true
        raise Invalid(f"{event.contract.name} has text with the character 0, which jsonb refuses")
    return text


def _done_before(
    tx: Connection,
    contracts: Contracts,
    stream: str,
    events: Sequence[Event],
    expected: int | None,
    ids: Sequence[UUID],
) -> tuple[Recorded, ...] | None:
    """These very events, if they are there; None if no id is. Raises Conflict for all between."""
    rows = [Stored(*row) for row in tx.execute(STATEMENTS["by_id"], [ids])]
    if not rows:
        return None
    there = tuple(row.recorded(contracts) for row in opened(tx, rows))
    first = there[0].pos
    same_place = [(one.stream, one.pos, one.id) for one in there] == [
        (stream, first + n, id_) for n, id_ in enumerate(ids)
    ]
    if same_place and expected in (ANY, first) and [one.event for one in there] == list(events):
        return there
    taken = f"id {there[0].id} is that of another event, at {there[0].stream} pos {first}"
    raise Conflict(stream, expected, length(tx, stream), taken)


def length(tx: Connection, stream: str, at: At = None) -> int:
    """
    How many events the stream had at `at`; a number is taken as it is, but for the stream's end.
    Raises ValueError for a time without a zone.
    """
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError("a time needs a zone")
        row = tx.execute(STATEMENTS["length_at"], [stream, at]).fetchone()
    else:
        row = tx.execute(STATEMENTS["length"], [stream]).fetchone()
    assert row is not None
    return int(row[0]) if not isinstance(at, int) else min(at, row[0])


def load(tx: Connection, contracts: Contracts, stream: str, at: At = None) -> list[Recorded]:
    """All events of a stream that were there at `at`; none if it is not there. Raises Invalid."""
    return list(read(tx, contracts, stream, stop=_stop(tx, stream, at)))


def _stop(tx: Connection, stream: str, at: At) -> int | None:
    return length(tx, stream, at) if isinstance(at, datetime) else at


def read(
    tx: Connection,
    contracts: Contracts,
    stream: str,
    start: int = 0,
    stop: int | None = None,
    page_events: int = PAGE_EVENTS,
) -> Iterator[Recorded]:
    """
    The events from position `start` up to, without it, `stop`; no more than a page of them is in
    memory. Raises Invalid for what these contracts cannot read.
    """
    for page in pages(tx, stream, start, stop, page_events):
        for row in opened(tx, page):
            yield row.recorded(contracts)


def pages(
    tx: Connection,
    stream: str,
    start: int = 0,
    stop: int | None = None,
    page_events: int = PAGE_EVENTS,
) -> Iterator[list[Stored]]:
    """As `read`, but as they are stored, and by pages."""
    end = _LAST_POS if stop is None else stop
    while start < end:
        rows = tx.execute(STATEMENTS["page"], [stream, start, end, page_events]).fetchall()
        if rows:
            yield [Stored(*row) for row in rows]
        if len(rows) < page_events:
            return
        start = rows[-1][1] + 1


def streams(tx: Connection, of_category: str, page_streams: int = PAGE_EVENTS) -> Iterator[str]:
    """The streams of a category, by name."""
    after, before = f"{of_category}-", f"{of_category}."  # "." is what comes after "-"
    while True:
        rows = tx.execute(STATEMENTS["streams"], [after, before, page_streams]).fetchall()
        yield from (row[0] for row in rows)
        if len(rows) < page_streams:
            return
        after = rows[-1][0]
