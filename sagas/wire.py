"""
How sagas travel: each message is an event of the outbox whose aggregate is a step of a saga, keyed
by the saga's id. What was done or refused is the participant's own event, for everybody to read.
"""

import secrets
import time
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

from consumer.errors import Unreadable
from eventstore.contracts import Contracts, Event
from sagas.fence import Direction, Fence
from sagas.protocol import Style

Word = Direction | Fence | Literal["FAILED", "begun", "ended", "forgotten"]

_PREFIX = "saga"

own_words = Contracts("saga")
"""What is said in no domain's words."""


def is_own_word(event: str) -> bool:
    """Whether an event of that name is one of these."""
    return event.startswith(f"{own_words.source}.")


@own_words.event("saga.undo")
class Undo(Event):
    """Undo the step, or see to it that it can't be done any more."""

    reason: str


@own_words.event("saga.undone")
class Undone(Event):
    """The step was done, and is undone."""


@own_words.event("saga.voided")
class Voided(Event):
    """The step was not done, and will not be."""


@own_words.event("saga.failed")
class Failed(Event):
    """The participant's code raised; nothing was kept, and it may be asked again."""

    why: str


@own_words.event("saga.begun")
class Begun(Event):
    """A choreographed saga has begun: what every participant has to know of it."""

    plan: dict[str, Any]
    request: dict[str, Any]
    request_version: int


@own_words.event("saga.ended")
class Ended(Event):
    """The saga is over: COMPLETED or COMPENSATED."""

    status: str


@own_words.event("saga.locked")
class Locked(Event):
    """A refusal: another saga, which is not over, has what the action needs."""

    resource: str
    held_by: UUID


@own_words.event("saga.forgotten")
class Forgotten(Event):
    """These have been over for so long that nothing of them can come again; they ended `before`."""

    sagas: list[UUID]
    before: datetime


class Address(NamedTuple):
    """Of which step a message is, and what it says; `step` and `action` are empty for the whole."""

    style: Style
    type: str
    step: str
    action: str
    word: str

    def __str__(self) -> str:
        return "/".join((_PREFIX, *self))

    @property
    def participant(self) -> str:
        """Whose action it is."""
        return self.action.partition(".")[0]


@lru_cache(maxsize=1024)
def address(aggregate: str | None) -> Address | None:
    """None: it is no message of a saga."""
    parts = (aggregate or "").split("/")
    if len(parts) != 6 or parts[0] != _PREFIX:
        return None
    style: Style = "choreographed" if parts[1] == "choreographed" else "orchestrated"
    return Address(style, *parts[2:])


def saga_id(subject: str | None) -> UUID:
    """Raises Unreadable."""
    try:
        return UUID(subject or "")
    except ValueError:
        raise Unreadable("its subject is not the id of a saga") from None


def new_id() -> UUID:
    """For a saga: the smaller of two is the older one, to a millisecond (a UUID of version 7)."""
    now_ms = time.time_ns() // 1_000_000
    value = (
        now_ms << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    )
    return UUID(int=value)


def message_id(saga: UUID, *parts: str | int) -> UUID:
    """The same whenever the same is said again."""
    return uuid5(saga, "/".join(map(str, parts)))
