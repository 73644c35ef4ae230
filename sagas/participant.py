"""
A service that takes part in sagas: an action and its undo are written once, and run in both styles.

    hotel = Participant("hotel")

    @hotel.does(reserve_room)
    def reserve(tx, command): ...        # returns RoomReserved, or raises Refused(NoRoom(...))

    @hotel.undoes(reserve_room)
    def release(tx, command, given): ...

The fence, what the action writes, the log and the answer are one transaction. Any other exception
is no refusal: nothing is kept, and the saga asks again later.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, LiteralString
from uuid import UUID

from consumer import errors
from consumer.errors import Unreadable
from eventstore.contracts import Contracts, Event, Invalid
from eventstore.envelope import Envelope
from eventstore.subscriber import Arrived, Received, Refuse, Subscriber, place
from sagas import commands, following, log
from sagas.commands import Connection, Do, Handlers, Refused, Told, UndoIt
from sagas.declared import Action, Saga
from sagas.fence import Direction
from sagas.following import Hearing
from sagas.wire import Address, Undo, address, message_id, own_words, saga_id

__all__ = ["Participant", "Refused"]


class Participant(Subscriber):
    """Its name is the first part of its actions' names. Run as a sink of type subscriber."""

    tables: Mapping[str, LiteralString] = MappingProxyType(
        {**commands.TABLES, **following.TABLES, **log.TABLES}
    )

    def __init__(self, name: str) -> None:
        super().__init__(name, own_words)
        self.written = Handlers(name)
        self._sagas: dict[str, type[Saga]] = {}

    def joins(self, saga: type[Saga]) -> None:
        """Let it do its steps of choreographed sagas of this type by itself."""
        self._sagas[saga.name] = saga

    def does(self, action: Action) -> Callable[[Do], Do]:
        """Decorates what the action does. Raises ValueError for one of another participant."""

        def register(do: Do) -> Do:
            self._register(action)
            self.written.do[action.name] = do
            return do

        return register

    def undoes(self, action: Action) -> Callable[[UndoIt], UndoIt]:
        """Decorates its undo, which gets what the action was told and what it gave."""

        def register(undo: UndoIt) -> UndoIt:
            self._register(action)
            self.written.undo[action.name] = undo
            return undo

        return register

    def has_joined(self, saga: type[Saga]) -> bool:
        """Whether it does its steps of these by itself."""
        return self._sagas.get(saga.name) is saga

    def _register(self, action: Action) -> None:
        if action.participant != self.name:
            raise ValueError(f"{action.name} is an action of {action.participant}, not {self.name}")
        self.written.actions[action.name] = action
        action.contracts.reads(self.name, action.takes)

    def ready(self, tx: Connection) -> None:
        """Raises Refused where an action or its undo is not written."""
        for action in self.written.actions.values():
            has = action.name in self.written.do, action.name in self.written.undo
            if has != (True, not action.is_final):
                wanted = "an action and no undo" if action.is_final else "an action and an undo"
                raise errors.Refused(f"{action.name} in {self.name} needs {wanted}")

    def wants(self, said: Envelope) -> bool:
        of = address(said.aggregate)
        if of is None:
            return False
        if of.word in ("do", "undo"):
            return of.participant == self.name
        saga = self._sagas.get(of.type)
        if saga is None or of.style != "choreographed":
            return False
        is_of_all = of.word in ("begun", "ended")
        return is_of_all or following.concerns(saga.plan, self.name, of)

    def contracts_of(self, said: Envelope) -> Contracts:
        of = address(said.aggregate)
        assert of is not None
        saga_id(said.subject)
        if of.word in ("do", "undo"):
            action = self.written.actions.get(of.action)
            if action is None:
                raise Unreadable(f"{self.name} has no action {of.action:.80}: update this service")
            wanted = action.takes.contract.name if of.word == "do" else Undo.contract.name
            if said.type != wanted:
                raise Unreadable(f"{said.type:.80} is no command of {of.action}")
            return action.contracts if of.word == "do" else own_words
        return self._sagas[of.type].contracts_of(of.step, said.type)

    def handle(self, tx: Connection, events: Sequence[Arrived]) -> None:
        told: list[Told] = []
        hearings: list[Hearing] = []
        for each in events:
            received = each.received
            of, saga = address(received.aggregate), saga_id(received.subject)
            assert of is not None
            if of.word in ("do", "undo"):
                told.append(_told(saga, of, received))
            else:
                hearings.append(Hearing(saga, of, received.event))
        if hearings:
            try:
                for known in following.hear(tx, self._sagas, hearings):
                    told += map(_own, known.turns(self.name))
            except (Invalid, LookupError) as error:  # set aside; the saga's timer asks for the step
                raise Refuse(f"{self.name} can't follow it: {place(error, self.handle)}") from error
        if told:
            commands.run(tx, self.written, told)


def _told(saga: UUID, of: Address, received: Received[Any]) -> Told:
    event: Event = received.event
    direction: Direction = "do" if of.word == "do" else "undo"
    reason = event.reason if isinstance(event, Undo) else f"{of.type} asks for it"
    trace = received.meta.get("traceparent")
    return Told(saga, of, direction, lambda: event, reason, received.id, trace)


def _own(turn: following.Turn) -> Told:
    id_ = str(message_id(turn.saga, turn.at.step, turn.direction, "own"))
    return Told(
        turn.saga, turn.at, turn.direction, turn.command, turn.reason, id_, None, is_own=True
    )
