"""Events as they travel: rows of the event store in change events and in COPY. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from consumer.event import ChangeEvent
from eventstore.contracts import Contracts
from eventstore.recorded import Meta, Recorded

TABLE = "eventstore.events"
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A row of `eventstore.events`. `data` and `meta` are JSON, `at` is an ISO time."""

    stream: str
    pos: int
    id: str
    type: str
    version: int
    data: str
    meta: str
    at: str

    def recorded(self, contracts: Contracts) -> Recorded:
        """As code sees it. Raises Invalid."""
        return Recorded(
            self.stream,
            self.pos,
            UUID(self.id),
            self.type,
            self.version,
            contracts.decode(self.type, self.version, self.data),
            datetime.fromisoformat(self.at),
            Meta.from_json(_object(self.meta)),
        )

    def copied(self) -> str:
        """A line of COPY, as text."""
        values = (self.stream, self.pos, self.id, self.type, self.version, self.data, self.meta)
        return "\t".join(str(each).translate(COPY_ESCAPES) for each in (*values, self.at)) + "\n"


_object = msgspec.json.Decoder(dict[str, object]).decode
_stored = msgspec.json.Decoder(Stored).decode


def stored(change: ChangeEvent) -> Stored | str:
    """The event in a change of TABLE, or the sentence that says why there is none."""
    if change.op not in ("c", "r"):
        return (
            f"the event store is append-only, and this change ({change.op}) rewrites it: find out "
            "who disabled its triggers, and compare with `tailrace events verify`"
        )
    try:
        return _stored(change.after)
    except msgspec.MsgspecError as error:
        return f"not a row of {TABLE}: {error}"


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
