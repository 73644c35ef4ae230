"""An event as it is stored: what happened, and when, where and why it was recorded."""

import secrets
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from eventstore.contracts import Contracts, Event, Invalid

Connection = psycopg.Connection[Any]


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """
    Why an event is there. `correlation` is the same for all that one request brought about,
    `causation` the id of the message that this event answers, `actor` who asked for it.
    """

    correlation: str | None = None
    causation: str | None = None
    actor: str | None = None

    def as_json(self) -> str:
        """What is known, as an object."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Meta":
        """Keys of newer code are left out."""
        return _meta(text)


NO_META: Final = Meta()
_meta = msgspec.json.Decoder(Meta).decode


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """
    One event of a stream. `pos` counts from 0 without gaps; `version` is the one it was stored
    with, `event` is of the newest; `at` is in UTC.
    """

    stream: str
    pos: int
    id: UUID
    type: str
    version: int
    event: Event
    at: datetime
    meta: Meta


class Stored(NamedTuple):
    """A row of the table: `data` and `meta` are JSON as text, nothing is checked or upcast."""

    stream: str
    pos: int
    id: UUID
    type: str
    version: int
    data: str
    meta: str
    at: datetime

    def recorded(self, contracts: Contracts) -> Recorded:
        """Upcast and validated. Raises Invalid."""
        try:
            event = contracts.decode(self.type, self.version, self.data)
        except Invalid as error:
            raise Invalid(f"{self.stream} pos {self.pos}: {error}") from error
        meta, at = Meta.from_json(self.meta), self.at.astimezone(UTC)
        return Recorded(self.stream, self.pos, self.id, self.type, self.version, event, at, meta)


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 6.2 method 3): in the order of time, by 1/4096 ms."""
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    number = ms << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)
    return UUID(int=number)
