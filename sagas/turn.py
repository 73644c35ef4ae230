"""
One transaction's worth of transitions, whoever causes them: a participant's answer, a timer, a
person. The protocol decides in memory; what came of it is written with a statement a table.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import structlog

from consumer.errors import Busy
from eventstore.contracts import Contract, Contracts, Event
from eventstore.outbox import Outgoing
from eventstore.subscriber import place
from sagas import instances, log, protocol
from sagas.declared import Course, Saga
from sagas.instances import Instance, Result, StepRow
from sagas.log import Entry
from sagas.protocol import Await, Effect, Input, Keep, Reply, Send
from sagas.wire import Address, Begun, Ended, Undo, message_id, own_words

SOON_S = 0.5  # after code that raised, doubled each time

Connection = psycopg.Connection[Any]


class Turn:
    """`source` names the orchestrator where its messages say who sent them."""

    def __init__(self, sagas: Mapping[str, type[Saga]], source: str, now: datetime) -> None:
        self._sagas = sagas
        self._source = source
        self._now = now
        self._changed: dict[UUID, Instance] = {}
        self._messages: list[Outgoing] = []
        self._entries: list[Entry] = []

    def begin(self, tx: Connection, new: Instance, actor: str, effects: protocol.Effects) -> bool:
        """False where this saga has begun before; then nothing is written."""
        for effect in effects:
            self._effect(new, effect, actor, None, None)
        if not instances.insert(tx, new, actor, self._now):
            return False
        self._entries.append(Entry(str(new.id), "began", "", actor, new.style, new.request))
        if new.style == "choreographed":
            self._announce(new)
        log.say(tx, self._messages, self._entries)
        return True

    def act(
        self,
        one: Instance,
        input: Input,
        actor: str,
        reason: str,
        result: Result | None = None,
        causation: str | None = None,
    ) -> bool:
        """Whether the saga was concerned."""
        before = one.saga
        after, effects = protocol.transition(one.plan, before, input)
        if after == before and not effects:
            return False
        self._changed[one.id] = one
        one.status = after.status
        for planned, was, step in zip(one.plan.steps, before.steps, after.steps, strict=True):
            if was != step:
                row = one.steps[planned.name]
                row.status, row.tries, row.due = step.status, step.tries, None
        for effect in effects:
            self._effect(one, effect, reason, result, causation)
        if one.status in protocol.ENDED:
            one.ended_at = self._now
            self._say(one, "", "", "ended", Ended.contract, Ended(status=one.status), causation)
        self._note(one, before, after, input, actor, reason)
        return True

    def look_later(self, one: Instance) -> None:
        """Whether or not it is concerned: it was looked at."""
        self._changed[one.id] = one

    def write(self, tx: Connection) -> None:
        """All that was decided; the caller commits."""
        if instances.save(tx, list(self._changed.values()), self._now) != len(self._changed):
            raise Busy("another orchestrator has moved one of these sagas meanwhile")
        log.say(tx, self._messages, self._entries)

    def _effect(
        self,
        one: Instance,
        effect: Effect,
        reason: str,
        result: Result | None,
        causation: str | None,
    ) -> None:
        planned = one.plan.steps[effect.step]
        row = one.steps[planned.name]
        if isinstance(effect, Keep):
            row.result = result
            return
        wait_s = planned.wait_s(row.tries)
        if isinstance(effect, Await) and row.due is not None:  # it was asked, and its code raised
            wait_s = min(SOON_S * 2 ** max(row.tries - 1, 0), wait_s)
        row.due = self._now + timedelta(seconds=wait_s)
        if not isinstance(effect, Send):
            return
        if effect.direction == "undo":
            undo = Undo(reason=reason)
            self._say(one, planned.name, planned.action, "undo", Undo.contract, undo, causation)
        else:
            self._tell(one, planned.name, planned.action, causation)

    def _tell(self, one: Instance, step: str, action: str, causation: str | None) -> None:
        """A command that can't be made is as one that is not answered: it is tried again."""
        saga = self._sagas[one.type]
        declared = saga.steps[step]
        try:
            command = declared.make(course(saga, one))
            if type(command) is not declared.action.takes:
                raise TypeError(f"{action} takes {declared.action.takes.__name__}")
            contracts = declared.action.contracts
            self._say(one, step, action, "do", command.contract, command, causation, contracts)
        except Exception as error:
            why = f"the command of step {step} can't be made: {place(error, declared.make)}"
            structlog.get_logger().warning("command failed", saga=str(one.id), why=why)
            self._entries.append(Entry(str(one.id), "failed", step, self._source, why))

    def _say(
        self,
        one: Instance,
        step: str,
        action: str,
        word: str,
        contract: Contract,
        event: Event,
        causation: str | None,
        contracts: Contracts = own_words,
    ) -> None:
        self._messages.append(
            Outgoing(
                message_id(one.id, step, word, one.version, len(self._messages)),
                str(Address(one.style, one.type, step, action, word)),
                str(one.id),
                self._source,
                contract,
                contracts.encode(event),
                correlation=str(one.id),
                causation=causation,
            )
        )

    def _announce(self, new: Instance) -> None:
        begun = Begun(
            plan=msgspec.to_builtins(new.plan),
            request=msgspec.json.decode(new.request),
            request_version=new.request_version,
        )
        self._say(new, "", "", "begun", Begun.contract, begun, None)

    def _note(
        self,
        one: Instance,
        before: protocol.Saga,
        after: protocol.Saga,
        input: Input,
        actor: str,
        reason: str,
    ) -> None:
        moved = {
            planned.name: [was.status, step.status]
            for planned, was, step in zip(one.plan.steps, before.steps, after.steps, strict=True)
            if was.status != step.status
        }
        step = (
            one.plan.steps[input.step].name if isinstance(input, Reply | protocol.TimedOut) else ""
        )
        body = {"input": input, "status": [before.status, after.status], "steps": moved}
        kind = _KINDS[type(input)]
        text = msgspec.json.encode(body).decode()
        self._entries.append(Entry(str(one.id), kind, step, actor, reason, text))


_KINDS = {
    protocol.Reply: "heard",
    protocol.TimedOut: "timed out",
    protocol.GiveUp: "gave up",
    protocol.Resume: "resumed",
}


def course(saga: type[Saga], one: Instance) -> Course[Any]:
    """What the commands of its steps are made of. Raises Invalid."""
    request = saga.contracts.decode(saga.request.contract.name, one.request_version, one.request)
    results = {
        name: saga.steps[name].action.contracts.decode(
            row.result.type, row.result.version, bytes(row.result.data)
        )
        for name, row in one.steps.items()
        if row.result is not None and row.status == "DONE"
    }
    return Course(one.id, request, results)


def rows_of(saga: protocol.Saga, plan: Any) -> dict[str, StepRow]:
    """The steps of a saga that begins."""
    return {
        planned.name: StepRow(step.status, step.tries)
        for planned, step in zip(plan.steps, saga.steps, strict=True)
    }
