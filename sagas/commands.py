"""
The commands of one transaction at a participant: fence, action or undo, log and answer together.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import structlog

from eventstore.contracts import Contract, Event
from eventstore.outbox import Outgoing
from eventstore.subscriber import place
from sagas import locks, log
from sagas.declared import Action
from sagas.fence import Fence, act_on
from sagas.locks import Stash, StoredLocks
from sagas.log import Entry
from sagas.told import Connection, Handlers, Key, Refused, Told
from sagas.wire import Failed, Locked, Undone, Voided, address, is_own_word, message_id, own_words
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("commands.sql"))
TABLES = {"sagas.fence": STATEMENTS["schema"]}


class Known(msgspec.Struct):
    """A row of the fence as this transaction sees it."""

    state: Fence | None = None
    command: str | None = None
    command_version: int | None = None
    answer_type: str | None = None
    answer_version: int | None = None
    answer: str | None = None


def run(
    tx: Connection, handlers: Handlers, commands: Sequence[Told], over: Sequence[UUID] = ()
) -> None:
    """
    In their order; the caller commits. What fails is answered as FAILED, and leaves nothing. `over`
    are sagas that have ended; what they held is free first.
    """
    there = locks.before_fences(tx, handlers, commands, over) if handlers.has_locks else None
    fences = _fences(tx, commands)
    if there is not None:
        locks.after_fences(there, handlers, commands, over)
    work = None
    if there is None and len(commands) > 1 and not handlers.failed_of_late:
        work = _together(tx, handlers, fences, commands)
    if work is None:
        work = _each(_Work(tx, handlers, fences, there), commands)
        handlers.failed_of_late = work.has_failed
    work.write()


def _each(work: "_Work", commands: Sequence[Told]) -> "_Work":
    work.go_on()
    for told in commands:
        work.one(told)
        work.go_on()
    return work


def _fences(tx: Connection, commands: Sequence[Told]) -> dict[Key, Known]:
    if not commands:
        return {}
    first = {told.key: told for told in reversed(commands)}
    rows = tx.execute(STATEMENTS["take"], [as_json(map(_row, first.values()))])
    return {(saga, step): Known(*rest) for saga, step, *rest in rows}


def _together(
    tx: Connection, handlers: Handlers, fences: Mapping[Key, Known], commands: Sequence[Told]
) -> "_Work | None":
    """All in one savepoint, half as dear as one for each; None where one did not succeed."""
    copies = {key: msgspec.structs.replace(known) for key, known in fences.items()}
    work = _Work(tx, handlers, copies, None, keeps_going=False)
    try:
        with _savepoint(tx):
            for told in commands:
                work.one(told)
    except psycopg.OperationalError:
        raise
    except Exception:
        return None
    return work


def _row(told: Told) -> dict[str, object]:
    return {
        "saga": told.saga,
        "step": told.at.step,
        "type": told.at.type,
        "action": told.at.action,
    }


@dataclass
class _Work:
    """`keeps_going`: what does not succeed is undone by itself, else it raises."""

    tx: Connection
    of: Handlers
    fences: dict[Key, Known]
    locks: StoredLocks | None
    keeps_going: bool = True
    has_failed: bool = False
    decided: set[Key] = field(default_factory=set)
    answers: list[Outgoing] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def one(self, told: Told) -> None:
        known = self.fences[told.key]
        action = self.of.actions[told.at.action]
        act, after = act_on(known.state, told.direction, is_final=action.is_final)
        is_news = known.state != after
        try:
            if act == "run the action":
                self._act(told, known, action)
            elif act == "run the undo":
                self._undo(told, known, action)
            elif is_news:
                self._decide(told, known, after, Voided.contract, "{}", "voided")
        except psycopg.OperationalError:
            raise
        except Exception as error:
            if not self.keeps_going:
                raise
            self._failed(told, error)
            return
        waits = known.state is None
        if not waits and (is_news or not told.is_own):
            self._answer(told, known, action)

    def go_on(self) -> None:
        """Commands that waited for what is free by now."""
        while self.locks is not None and (found := self.locks.next_stash()) is not None:
            (saga, _), stash = found
            at = address(stash.address)
            assert at is not None
            if (action := self.of.actions.get(at.action)) is None:
                continue  # this code does it no longer: its saga's timer asks, and hears so
            command = partial(
                action.contracts.decode,
                action.takes.contract.name,
                stash.command_version,
                stash.command,
            )
            told = Told(saga, at, "do", command, stash.reason, stash.message, stash.traceparent)
            if told.key not in self.fences:
                self.fences |= _fences(self.tx, [told])
            self.one(told)

    def _act(self, told: Told, known: Known, action: Action) -> None:
        command = told.command()
        if type(command) is not action.takes:
            raise TypeError(f"{action.name} takes {action.takes.__name__}")
        state: Fence = "DONE"
        resources = locks.wanted(action, command)
        if resources and self._is_kept_off(told, known, command, resources):
            return
        try:
            with self._by_itself():
                said = self.of.do[action.name](self.tx, command)
                if type(said) is not action.gives:
                    raise TypeError(f"{action.name} gives {action.gives.__name__}")
                text = action.contracts.encode(said)
        except Refused as refused:
            self.has_failed = True
            said, state = refused.event, "REFUSED"
            if not self.keeps_going or type(said) not in action.refuses:
                raise
            text = action.contracts.encode(said)
        if resources and state == "DONE" and self.locks is not None:
            self.locks.take(told.key, resources)
        known.command = command.model_dump_json()
        known.command_version = command.contract.version
        self._decide(told, known, state, said.contract, text, state.lower())

    def _is_kept_off(
        self, told: Told, known: Known, command: Event, resources: Sequence[str]
    ) -> bool:
        """By another saga: then it is refused, or waits, which nobody is told."""
        assert self.locks is not None
        self.locks.know(resources)
        if (blocked := self.locks.ask(told.key, resources)) is None:
            return False
        text, version = command.model_dump_json(), command.contract.version
        if blocked.may_wait and self.of.actions[told.at.action].on_locked == "wait":
            stash = Stash(str(told.at), text, version, told.reason, told.id, told.traceparent)
            if self.locks.stash(told.key, resources, stash):
                why = f"saga {blocked.locked.held_by} has {blocked.locked.resource}"
                self.entries.append(Entry(str(told.saga), "waits", told.at.step, self._actor, why))
            return True
        self.locks.leave(told.key)
        known.command, known.command_version = text, version
        said = blocked.locked.model_dump_json()
        self._decide(told, known, "REFUSED", Locked.contract, said, "refused")
        return True

    def _undo(self, told: Told, known: Known, action: Action) -> None:
        decode = action.contracts.decode
        command = decode(
            action.takes.contract.name, known.command_version or 1, known.command or ""
        )
        given = decode(action.gives.contract.name, known.answer_version or 1, known.answer or "")
        with self._by_itself():
            self.of.undo[action.name](self.tx, command, given)
        self._decide(told, known, "UNDONE", Undone.contract, "{}", "undone")

    def _decide(
        self, told: Told, known: Known, state: Fence, contract: Contract, text: str, kind: str
    ) -> None:
        known.state, known.answer = state, text
        known.answer_type, known.answer_version = contract.name, contract.version
        self.decided.add(told.key)
        if state in ("UNDONE", "VOIDED") and self.locks is not None:
            self.locks.leave(told.key)
        self.entries.append(
            Entry(str(told.saga), kind, told.at.step, self._actor, told.reason, text)
        )

    def _answer(self, told: Told, known: Known, action: Action) -> None:
        name = known.answer_type or ""
        contract = (own_words if is_own_word(name) else action.contracts)[name]
        self._say(told, known.state or "FAILED", contract, known.answer or "{}")

    def _by_itself(self) -> AbstractContextManager[None]:
        return _savepoint(self.tx) if self.keeps_going else nullcontext()

    def _failed(self, told: Told, error: Exception) -> None:
        self.has_failed = True
        handlers = self.of.do if told.direction == "do" else self.of.undo
        why = place(error, handlers[told.at.action])
        structlog.get_logger().warning(
            "action failed", action=told.at.action, direction=told.direction, why=why
        )
        self.entries.append(Entry(str(told.saga), "failed", told.at.step, self._actor, why))
        self._say(told, "FAILED", Failed.contract, Failed(why=why).model_dump_json())

    def _say(self, told: Told, word: str, contract: Contract, text: str) -> None:
        self.answers.append(
            Outgoing(
                message_id(UUID(told.id), "answer"),
                str(told.at._replace(word=word)),
                str(told.saga),
                self.of.name,
                contract,
                text,
                correlation=str(told.saga),
                causation=told.id,
                traceparent=told.traceparent,
            )
        )

    @property
    def _actor(self) -> str:
        return f"participant {self.of.name}"

    def write(self) -> None:
        if self.decided:
            rows = (
                {"saga": saga, "step": step, **msgspec.structs.asdict(self.fences[saga, step])}
                for saga, step in sorted(self.decided)
            )
            self.tx.execute(STATEMENTS["decide"], [as_json(rows)])
        undecided = [
            {"saga": saga, "step": step}
            for (saga, step), known in self.fences.items()
            if known.state is None
        ]
        if undecided:
            self.tx.execute(STATEMENTS["forget"], [as_json(undecided)])
        if self.locks is not None:
            self.locks.write()
        log.say(self.tx, self.answers, self.entries)


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
