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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg
import structlog

from consumer import errors
from consumer.errors import Unreadable
from eventstore.contracts import Contract, Event, Invalid
from eventstore.envelope import Envelope
from eventstore.outbox import Outgoing, send
from eventstore.subscriber import Arrived, Received, Subscriber, place
from sagas import log
from sagas.declared import Action
from sagas.fence import Direction, Fence, act_on
from sagas.log import Entry
from sagas.wire import (
    Address,
    Failed,
    Undo,
    Undone,
    Voided,
    address,
    message_id,
    protocol,
    saga_id,
)
from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("participant.sql"))
Connection = psycopg.Connection[Any]

Do = Callable[[Connection, Any], Event]
UndoIt = Callable[[Connection, Any, Any], None]
Key = tuple[UUID, str]


class Refused(Exception):
    """Raised by an action, with an event that it declares in `refuses`; what it wrote is undone."""

    def __init__(self, event: Event) -> None:
        super().__init__(type(event).__name__)
        self.event = event


class _Known(msgspec.Struct):
    """A row of the fence as this transaction sees it."""

    state: Fence | None = None
    command: str | None = None
    command_version: int | None = None
    answer_type: str | None = None
    answer_version: int | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """A command as it came. `version` and `data` are those of the action's own command."""

    saga: UUID
    at: Address
    direction: Direction
    event: Any
    version: int
    id: str
    meta: Mapping[str, str]

    @property
    def key(self) -> Key:
        return self.saga, self.at.step


class Participant(Subscriber):
    """Its name is the first part of its actions' names. Run as a sink of type subscriber."""

    tables: Mapping[str, LiteralString] = MappingProxyType(
        {"sagas.fence": STATEMENTS["schema"], **log.TABLES}
    )

    def __init__(self, name: str) -> None:
        super().__init__(name, protocol)
        self._actions: dict[str, Action] = {}
        self._do: dict[str, Do] = {}
        self._undo: dict[str, UndoIt] = {}

    def does(self, action: Action) -> Callable[[Do], Do]:
        """Decorates what the action does. Raises ValueError for one of another participant."""

        def register(do: Do) -> Do:
            self._register(action)
            self._do[action.name] = do
            return do

        return register

    def undoes(self, action: Action) -> Callable[[UndoIt], UndoIt]:
        """Decorates its undo, which gets what the action was told and what it gave."""

        def register(undo: UndoIt) -> UndoIt:
            self._register(action)
            self._undo[action.name] = undo
            return undo

        return register

    def _register(self, action: Action) -> None:
        if action.participant != self.name:
            raise ValueError(f"{action.name} is an action of {action.participant}, not {self.name}")
        self._actions[action.name] = action
        action.contracts.reads(self.name, action.takes)

    def ready(self, tx: Connection) -> None:
        """Raises Refused where an action or its undo is not written."""
        for action in self._actions.values():
            has = action.name in self._do, action.name in self._undo
            if has != (True, not action.is_final):
                wanted = "an action and no undo" if action.is_final else "an action and an undo"
                raise errors.Refused(f"{action.name} in {self.name} needs {wanted}")

    def wants(self, said: Envelope) -> bool:
        to = address(said.aggregate)
        return to is not None and to.participant == self.name and to.word in ("do", "undo")

    def received(self, said: Envelope) -> Received[Any]:
        to = address(said.aggregate)
        assert to is not None
        saga_id(said.subject)
        action = self._actions.get(to.action)
        if action is None:
            raise Unreadable(f"{self.name} has no action {to.action:.80}: update this service")
        contracts = action.contracts if to.word == "do" else protocol
        try:
            event = contracts.decode(said.type, said.version, said.data)
        except Invalid as invalid:
            raise Unreadable(str(invalid)) from None
        if not isinstance(event, action.takes if to.word == "do" else Undo):
            raise Unreadable(f"{said.type} is no command of {to.action}")
        return Received(
            event,
            said.id,
            said.type,
            said.version,
            said.source,
            said.subject,
            said.time,
            said.meta,
            said.aggregate,
        )

    def handle(self, tx: Connection, events: Sequence[Arrived]) -> None:
        work = _Work(self, tx)
        work.run([_told(arrived.received) for arrived in events])


def _told(received: Received[Any]) -> _Told:
    to = address(received.aggregate)
    assert to is not None
    return _Told(
        saga_id(received.subject),
        to,
        "do" if to.word == "do" else "undo",
        received.event,
        received.event.contract.version,
        received.id,
        received.meta,
    )


class _Work:
    """The commands of one transaction."""

    def __init__(self, service: Participant, tx: Connection) -> None:
        self._service = service
        self._tx = tx
        self._fences: dict[Key, _Known] = {}
        self._decided: set[Key] = set()
        self._answers: list[Outgoing] = []
        self._entries: list[Entry] = []

    def run(self, commands: Sequence[_Told]) -> None:
        first = {told.key: told for told in reversed(commands)}
        keys = [list(column) for column in zip(*first, strict=True)]
        types = [told.at.type for told in first.values()]
        actions = [told.at.action for told in first.values()]
        self._tx.execute(STATEMENTS["take"], [*keys, types, actions])
        rows = self._tx.execute(STATEMENTS["fences"], keys).fetchall()
        self._fences = {(saga, step): _Known(*rest) for saga, step, *rest in rows}
        for told in commands:
            self._one(told)
        self._write(list(first))

    def _one(self, told: _Told) -> None:
        known = self._fences[told.key]
        is_final = self._service._actions[told.at.action].is_final
        act, after = act_on(known.state, told.direction, is_final=is_final)
        try:
            if act == "run the action":
                self._act(told, known)
            elif act == "run the undo":
                self._undo(told, known)
            elif known.state != after:
                why = told.event.reason
                self._decide(told, known, after, Voided.contract, "{}", "voided", why)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            self._failed(told, error)
            return
        self._answer(told, known)

    def _act(self, told: _Told, known: _Known) -> None:
        action = self._service._actions[told.at.action]
        try:
            with _savepoint(self._tx):
                given = self._service._do[action.name](self._tx, told.event)
                if type(given) is not action.gives:
                    raise TypeError(f"{action.name} gives {action.gives.__name__}")
                text = action.contracts.encode(given)
            word: Fence = "DONE"
        except Refused as refused:
            given, word = refused.event, "REFUSED"
            if type(given) not in action.refuses:
                raise
            text = action.contracts.encode(given)
        known.command, known.command_version = told.event.model_dump_json(), told.version
        kind = "did" if word == "DONE" else "refused"
        self._decide(told, known, word, given.contract, text, kind, told.at.type)

    def _undo(self, told: _Told, known: _Known) -> None:
        action = self._service._actions[told.at.action]
        decode = action.contracts.decode
        command = decode(
            action.takes.contract.name, known.command_version or 1, known.command or ""
        )
        given = decode(action.gives.contract.name, known.answer_version or 1, known.answer or "")
        with _savepoint(self._tx):
            self._service._undo[action.name](self._tx, command, given)
        self._decide(told, known, "UNDONE", Undone.contract, "{}", "undid", told.event.reason)

    def _decide(
        self,
        told: _Told,
        known: _Known,
        state: Fence,
        contract: Contract,
        text: str,
        kind: str,
        reason: str,
    ) -> None:
        known.state, known.answer = state, text
        known.answer_type, known.answer_version = contract.name, contract.version
        self._decided.add(told.key)
        self._entries.append(Entry(told.saga, kind, told.at.step, self._actor, reason, text))

    def _answer(self, told: _Told, known: _Known) -> None:
        name = known.answer_type or ""
        own = self._service._actions[told.at.action].contracts
        contract = (protocol if name.startswith("saga.") else own)[name]
        self._say(told, known.state or "FAILED", contract, known.answer or "{}")

    def _failed(self, told: _Told, error: Exception) -> None:
        handlers = self._service._do if told.direction == "do" else self._service._undo
        why = place(error, handlers.get(told.at.action, self._one))
        structlog.get_logger().warning(
            "action failed", action=told.at.action, direction=told.direction, why=why
        )
        self._entries.append(Entry(told.saga, "failed", told.at.step, self._actor, why))
        self._say(told, "FAILED", Failed.contract, Failed(why=why).model_dump_json())

    def _say(self, told: _Told, word: str, contract: Contract, text: str) -> None:
        cause = UUID(told.id)
        self._answers.append(
            Outgoing(
                message_id(cause, "answer"),
                str(told.at._replace(word=word)),
                str(told.saga),
                self._service.name,
                contract,
                text,
                correlation=str(told.saga),
                causation=told.id,
                traceparent=told.meta.get("traceparent"),
            )
        )

    @property
    def _actor(self) -> str:
        return f"participant {self._service.name}"

    def _write(self, keys: list[Key]) -> None:
        if self._decided:
            rows = [
                (*key, *msgspec.structs.astuple(self._fences[key])) for key in sorted(self._decided)
            ]
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._tx.execute(STATEMENTS["decide"], columns)
        if undecided := [key for key in keys if self._fences[key].state is None]:
            columns = [list(column) for column in zip(*undecided, strict=True)]
            self._tx.execute(STATEMENTS["forget"], columns)
        if self._answers:
            send(self._tx, self._answers)
        log.append(self._tx, self._entries)


@contextmanager
def _savepoint(tx: Connection) -> Iterator[None]:
    """Whatever is raised in the block undoes what it wrote, and the transaction can go on."""
    tx.execute("SAVEPOINT saga_step")
    try:
        yield
        tx.execute("RELEASE SAVEPOINT saga_step")
    except Exception:
        tx.execute("ROLLBACK TO SAVEPOINT saga_step")
        raise
