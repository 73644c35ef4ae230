"""Events as they travel: rows of the event store in change events and in COPY. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from connectors.spec import EVENTS
from consumer.event import ChangeEvent
from eventstore.recorded import Stored

COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class _After(msgspec.Struct, gc=False):
    """The fields of `Stored`, as Debezium has them."""

    stream: Annotated[str, Meta(pattern=r"\A[^\x00]+\Z")]
    pos: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    id: UUID
    type: str
    version: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
    data: str
    meta: str
    at: Annotated[datetime, Meta(tz=True)]


_after = msgspec.json.Decoder(_After).decode


def stored(change: ChangeEvent) -> Stored | str:
    """The event in a change of EVENTS, or the sentence that says why there is none."""
    if change.op not in ("c", "r"):
        return (
            f"the event store is append-only, and this change ({change.op}) rewrites it: find out "
            "who disabled its triggers, and compare with `tailrace events verify`"
        )
    try:
        return Stored(*astuple(_after(change.after)))
    except msgspec.MsgspecError as error:
        return f"not a row of {EVENTS}: {error}"


def copied(event: Stored) -> str:
    """A line of COPY, as text."""
    return "\t".join(str(each).translate(COPY_ESCAPES) for each in event) + "\n"


class Sifted(NamedTuple):
    """`fresh` in order, and where the streams that they move go on; whether events are missing."""

    fresh: list[Stored]
    next_pos: dict[str, int]
    has_gaps: bool


def sift(events: Iterable[Stored], next_pos: Mapping[str, int]) -> Sifted:
    """What is new; `next_pos` tells where each stream goes on, at 0 if it is not there."""
    fresh: list[Stored] = []
    moved: dict[str, int] = {}
    has_gaps = False
    for event in events:
        stream, pos = event.stream, event.pos
        wanted = moved.get(stream)
        if wanted is None:
            wanted = next_pos.get(stream, 0)
        if pos < wanted:
            continue
        has_gaps |= pos > wanted
        fresh.append(event)
        moved[stream] = pos + 1
    return Sifted(fresh, moved, has_gaps)
