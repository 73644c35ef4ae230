"""What a participant is told, and what it has written to do so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from eventstore.contracts import Event
from sagas.declared import Action
from sagas.fence import Direction
from sagas.wire import Address

Connection = psycopg.Connection[Any]
Do = Callable[[Connection, Any], Event]
UndoIt = Callable[[Connection, Any, Any], None]
Key = tuple[UUID, str]


class Refused(Exception):
    """Raised by an action, with an event that it declares in `refuses`; what it wrote is undone."""

    def __init__(self, event: Event) -> None:
        super().__init__(type(event).__name__)
        self.event = event


@dataclass(slots=True)
class Handlers:
    """
    What a participant has written, by the names of its actions. `failed_of_late`: in the last
    transaction some action did not succeed.
    """

    name: str
    actions: dict[str, Action] = field(default_factory=dict)
    do: dict[str, Do] = field(default_factory=dict)
    undo: dict[str, UndoIt] = field(default_factory=dict)
    failed_of_late: bool = False

    @property
    def has_locks(self) -> bool:
        """Whether any of its actions has."""
        return any(action.locks is not None for action in self.actions.values())


@dataclass(frozen=True, slots=True)
class Told:
    """
    What is to be done with one step. `command` gives what the action is told; `id` is that of the
    message, or of the participant's own decision (`is_own`): then only news are said.
    """

    saga: UUID
    at: Address
    direction: Direction
    command: Callable[[], Event]
    reason: str
    id: str
    traceparent: str | None
    is_own: bool = False

    @property
    def key(self) -> Key:
        return self.saga, self.at.step
