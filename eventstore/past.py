"""The state of a stream as of then, and what changed between two times; with or without code."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from eventstore.aggregate import Aggregate, load_state
from eventstore.recorded import Connection
from eventstore.shred import opened
from eventstore.store import At, length, pages

Fields = dict[str, Any]


class AsOf(msgspec.Struct, frozen=True):
    """
    A stream when it had `version` events, of which the last was recorded `at`. `state` is that of
    the aggregate; without one, the fields of all events put together, the later ones on top.
    """

    stream: str
    version: int
    at: datetime | None
    state: Fields


class Changed(msgspec.Struct, frozen=True):
    """A field of the state, as a dotted path; null stands for no value, too."""

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any
    after: Any


class Difference(msgspec.Struct, frozen=True):
    """What changed in a stream's state from one version to another."""

    stream: str
    from_version: int
    to_version: int
    changes: list[Changed]


def as_of(tx: Connection, stream: str, at: At, aggregate: Aggregate[Any] | None = None) -> AsOf:
    """
    A version beyond the stream's end is its end. Raises Invalid where the stream is none of the
    aggregate's, or an event of it cannot be read.
    """
    version = length(tx, stream, at)
    if aggregate is None:
        state: Fields = {}
        for page in pages(tx, stream, 0, version):
            for row in opened(tx, page):
                state |= msgspec.json.decode(row.data)
    else:
        loaded = load_state(tx, aggregate, aggregate.id_of(stream), at=version)
        state = loaded.state.model_dump(mode="json")
    last = next(pages(tx, stream, max(0, version - 1), version), None)
    return AsOf(stream, version, last[0].at.astimezone(UTC) if last else None, state)


def difference(before: AsOf, after: AsOf) -> Difference:
    """Field by field, by path."""
    changes = sorted(_changes(before.state, after.state, ""), key=lambda change: change.path)
    return Difference(before.stream, before.version, after.version, changes)


def _changes(before: Fields, after: Fields, under: str) -> Iterator[Changed]:
    for name in before.keys() | after.keys():
        old, new, path = before.get(name), after.get(name), f"{under}{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{path}.")
        elif name not in before:
            yield Changed(path, "added", None, new)
        elif name not in after:
            yield Changed(path, "removed", old, None)
        elif old != new:
            yield Changed(path, "changed", old, new)
