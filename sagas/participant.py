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

from consumer import errors
from consumer.errors import Unreadable
from eventstore.contracts import Contracts, Invalid
from eventstore.envelope import Envelope
from eventstore.subscriber import Arrived, Received, Refuse, Subscriber, place
from sagas import commands, following, forget, locks, log
from sagas.declared import Action, Saga
from sagas.fence import Direction
from sagas.following import Hearing
from sagas.told import Connection, Do, Handlers, Refused, Told, UndoIt
from sagas.wire import Address, Forgotten, Undo, address, message_id, own_words, saga_id

__all__ = ["Participant", "Refused"]

COMMANDS = ("do", "undo")


class Participant(Subscriber):
    """Its name is the first part of its actions' names. Run as a sink of type subscriber."""

    tables: Mapping[str, LiteralString] = MappingProxyType(
        {**commands.TABLES, **following.TABLES, **locks.TABLES, **log.TABLES}
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
        if of.word == "forgotten" or (of.word == "ended" and self.written.has_locks):
            return True
        if forget.is_too_old(said):
            return False
        if of.word in COMMANDS:
            return of.participant == self.name
        if not self._follows(of):
            return False
        is_of_all = of.word in ("begun", "ended")
        return is_of_all or following.concerns(self._sagas[of.type].plan, self.name, of)

    def contracts_of(self, said: Envelope) -> Contracts:
        of = address(said.aggregate)
        assert of is not None
        saga_id(said.subject)
        if of.word in COMMANDS:
            action = self.written.actions.get(of.action)
            if action is None:
                raise Unreadable(f"{self.name} has no action {of.action:.80}: update this service")
            wanted = action.takes.contract.name if of.word == "do" else Undo.contract.name
            if said.type != wanted:
                raise Unreadable(f"{said.type:.80} is no command of {of.action}")
            return action.contracts if of.word == "do" else own_words
        if of.word in ("ended", "forgotten"):
            return own_words
        return self._sagas[of.type].contracts_of(of.step, said.type)

    def handle(self, tx: Connection, events: Sequence[Arrived]) -> None:
        heard = [_hearing(arrived.received) for arrived in events]
        told = [
            _told(each, arrived.received)
            for each, arrived in zip(heard, events, strict=True)
            if each.of.word in COMMANDS
        ]
        hearings = [
            each for each in heard if each.of.word not in COMMANDS and self._follows(each.of)
        ]
        if hearings:
            try:
                for known in following.hear(tx, self._sagas, hearings):
                    told += map(_own, known.turns(self.name))
            except (Invalid, LookupError) as error:  # set aside; the saga's timer asks for the step
                raise Refuse(f"{self.name} can't follow it: {place(error, self.handle)}") from error
        forgotten = [each.event for each in heard if isinstance(each.event, Forgotten)]
        over = [each.saga for each in heard if each.of.word == "ended"]
        over += [saga for those in forgotten for saga in those.sagas]
        if told or (over and self.written.has_locks):
            commands.run(tx, self.written, told, over)
        for those in forgotten:
            forget.hear(tx, self.name, those)

    def _follows(self, of: Address) -> bool:
        return of.style == "choreographed" and of.type in self._sagas


def _hearing(received: Received[Any]) -> Hearing:
    of = address(received.aggregate)
    assert of is not None
    return Hearing(saga_id(received.subject), of, received.event)


def _told(heard: Hearing, received: Received[Any]) -> Told:
    saga, of, event = heard
    direction: Direction = "do" if of.word == "do" else "undo"
    reason = event.reason if isinstance(event, Undo) else f"{of.type} asks for it"
    trace = received.meta.get("traceparent")
    return Told(saga, of, direction, lambda: event, reason, received.id, trace)


def _own(turn: following.Turn) -> Told:
    id_ = str(message_id(turn.saga, turn.at.step, turn.direction, "own"))
    return Told(
        turn.saga, turn.at, turn.direction, turn.command, turn.reason, id_, None, is_own=True
    )
