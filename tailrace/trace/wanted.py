"""What a person names a change by: an LSN, an event id, or a key. Pure."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from consumer.event import ChangeEvent, Position, ids
from tailrace.exits import USAGE, Problem
from tailrace.parked.plain import plain

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_EVENT_ID = re.compile(r"[0-9A-Fa-f]{32}")
_COLUMN = re.compile(r"([^\W\d][\w$]*)=(.*)", re.DOTALL)
LONGEST_KEY = 10_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lsn:
    """The LSN of a change itself, not that of its commit."""

    lsn: int


@dataclass(frozen=True, slots=True)
class EventId:
    """As `consumer.event.ids` makes it."""

    id: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """
    A primary key, its values as text, or None for null: of these columns, or, where the only
    name is "", of a key with one column whatever it is called.
    """

    columns: Mapping[str, str | None]

    def is_of(self, row: Row) -> bool:
        """Whether this decoded key of a record is meant."""
        if list(self.columns) == [""]:
            return len(row) == 1 and as_text(next(iter(row.values()))) == self.columns[""]
        return {name: as_text(value) for name, value in row.items()} == self.columns


What = Lsn | EventId | Key
Match = Callable[[ChangeEvent], bool]


def parse(text: str, tables: Sequence[str], table: str | None) -> tuple[What, Sequence[str]]:
    """
    What is meant, and the tables in which it can be. A table is named in full or by its last part,
    by `table` or in front of a key (`orders:42`).

    Raises Problem: TR-TRC-001 for what names nothing, TR-TRC-002 for an unknown table.
    """
    if not text or len(text) > LONGEST_KEY:
        raise _unclear(f"Nothing is named by {len(text)} characters")
    named = [known for name in [table] if name is not None for known in _table(name, tables)]
    if found := _LSN.fullmatch(text):
        return Lsn((int(found[1], 16) << 32) + int(found[2], 16)), named or tables
    if _EVENT_ID.fullmatch(text):
        return EventId(bytes.fromhex(text)), named or tables
    name, colon, rest = text.partition(":")
    if not named and colon and (before := _tables_called(name, tables)):
        return _key(rest), before
    return _key(text), named or tables


def _tables_called(name: str, tables: Sequence[str]) -> Sequence[str]:
    return [known for known in tables if name in (known, known.partition(".")[2])]


def _table(name: str, tables: Sequence[str]) -> Sequence[str]:
    found = _tables_called(name, tables)
    if not found:
        raise Problem(
            "TR-TRC-002",
            f"The pipeline has no table {shown(name)}; it has {', '.join(tables)}.",
            exit_code=USAGE,
        )
    return found


def _key(text: str) -> Key:
    if text.startswith("{"):
        try:
            row = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _unclear(f"The key {shown(text)} is no JSON object ({error})") from None
        if not row:
            raise _unclear("The key {} has no column")
        return Key({name: as_text(value) for name, value in row.items()})
    if named := _COLUMN.fullmatch(text):
        return Key({named[1]: named[2]})
    return Key({"": text})


def _unclear(what: str) -> Problem:
    return Problem(
        "TR-TRC-001",
        f"{what}. Name a change by its LSN (0/1A2B3C), by its event id (32 hex digits), or by the"
        ' key of its row: 42, id=42, orders:42, or {"order_id":42,"line":1}.',
        exit_code=USAGE,
    )


def as_text(value: Any) -> str | None:
    """A JSON value as a person writes it; text as it is, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def shown(text: str, most: int = 80) -> str:
    """As `plain`, cut after `most` characters."""
    told = plain(text)
    return told if len(told) <= most else f"{told[: most - 1]}…"


def matcher(what: What, lives: Collection[int]) -> Match:
    """
    Whether a change is meant. `lives`: by how much the number of the source's life may be higher
    than what the event was decoded with, since an id counts lives from the sink's beginning.
    """
    match what:
        case Lsn(lsn):
            return lambda event: event.position.lsn == lsn
        case EventId(id_):
            return lambda event: any(ids([in_life(event, more)])[0] == id_ for more in lives)
        case Key():
            is_meant = key_matcher(what)
            return lambda event: is_meant(event.record.key)


def key_matcher(key: Key) -> Callable[[bytes | None], bool]:
    """Whether the key of a record is that one; keys come again, so answers are kept."""

    @lru_cache(maxsize=4096)
    def is_meant(raw: bytes | None) -> bool:
        row = key_row(raw)
        return row is not None and key.is_of(row)

    return is_meant


def key_row(raw: bytes | None) -> Row | None:
    """A record's key by column; None where it is none of Debezium's."""
    try:
        return msgspec.json.decode(raw or b"", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


def in_life(event: ChangeEvent, more: int) -> ChangeEvent:
    """The same change as one who counts `more` lives of the source sees it."""
    at = event.position
    moved = Position(at.gen + more, at.commit, at.lsn)
    return msgspec.structs.replace(event, position=moved)
