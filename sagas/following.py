"""
A participant in choreographed sagas: it keeps what it hears of the others' steps, and acts by
itself when it is its turn. The join of several steps is here, in the service that waits for them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from eventstore.contracts import Event
from sagas.declared import Course, Saga
from sagas.fence import Direction, Fence
from sagas.plan import Plan, plan_of
from sagas.reaction import is_fatal, reaction
from sagas.wire import Address, Begun
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("following.sql"))
TABLES = {"sagas.heard": STATEMENTS["schema"]}
Connection = psycopg.Connection[Any]

ANSWERS = frozenset({"DONE", "REFUSED", "UNDONE", "VOIDED"})


class Hearing(NamedTuple):
    """What somebody has said of a saga, of a step of it or of the whole."""

    saga: UUID
    of: Address
    event: Event


class Turn(NamedTuple):
    """What this participant is to do of itself; `command` makes what an action is told."""

    saga: UUID
    at: Address
    direction: Direction
    reason: str
    command: Callable[[], Event]


@dataclass(frozen=True, slots=True)
class Known:
    """A choreographed saga as one participant has heard of it."""

    saga: UUID
    type: type[Saga]
    plan: Plan
    course: Course[Any]
    heard: Mapping[int, Fence]

    def turns(self, participant: str) -> Iterable[Turn]:
        """What is to be done now of this participant's steps."""
        for i, planned in enumerate(self.plan.steps):
            if planned.participant != participant:
                continue
            if (direction := reaction(self.plan, i, self.heard)) is not None:
                at = Address(
                    "choreographed", self.type.name, planned.name, planned.action, direction
                )
                command = partial(self.type.steps[planned.name].make, self.course)
                yield Turn(self.saga, at, direction, self._why(), command)

    def _why(self) -> str:
        fatal = [i for i, fence in self.heard.items() if is_fatal(self.plan, i, fence)]
        fatal += [i for i, fence in self.heard.items() if fence == "VOIDED"]
        told = " and ".join(f"{self.plan.steps[i].name} is {self.heard[i]}" for i in fatal[:2])
        return told or f"what comes before it in {self.type.name} is done"


def concerns(plan: Plan, participant: str, of: Address) -> bool:
    """Whether a participant has to know of this answer: what its steps wait for, and failures."""
    i = plan.index.get(of.step)
    if i is None:
        return False
    own = [n for n, step in enumerate(plan.steps) if step.participant == participant]
    return of.word != "DONE" or any(i in plan.preceding[n] for n in own)


def hear(
    tx: Connection, sagas: Mapping[str, type[Saga]], hearings: Sequence[Hearing]
) -> list[Known]:
    """Notes what was heard, and returns all that is known of these sagas, if they have begun."""
    begun = [each for each in hearings if isinstance(each.event, Begun)]
    if begun:
        tx.execute(STATEMENTS["begun"], [as_json(map(_begun, begun))])
    said = [each for each in hearings if each.of.word in ANSWERS]
    newest = {(each.saga, each.of.step): each for each in said}
    if newest:
        tx.execute(STATEMENTS["heard"], [as_json(map(_heard, newest.values()))])
    if over := [each.saga for each in hearings if each.of.word == "ended"]:
        tx.execute(STATEMENTS["over"], {"ids": over}, prepare=False)
    # Planned anew each time: the table may have been empty when it was first asked.
    ids = list({each.saga for each in hearings})
    rows = tx.execute(STATEMENTS["known"], [ids], prepare=False)
    return [_known(sagas, *row) for row in rows if row[1] in sagas]


def _begun(each: Hearing) -> dict[str, Any]:
    assert isinstance(each.event, Begun)
    return {
        "saga": each.saga,
        "type": each.of.type,
        "plan": each.event.plan,
        "request": each.event.request,
        "version": each.event.request_version,
    }


def _heard(each: Hearing) -> dict[str, Any]:
    return {
        "saga": each.saga,
        "step": each.of.step,
        "fence": each.of.word,
        "type": each.event.contract.name,
        "version": each.event.contract.version,
        "data": msgspec.Raw(each.event.model_dump_json().encode()),
    }


def _known(
    sagas: Mapping[str, type[Saga]],
    saga: UUID,
    type_: str,
    plan_text: str,
    request_text: str,
    version: int,
    heard_text: str,
) -> Known:
    declared = sagas[type_]
    plan = plan_of(plan_text)
    rows = msgspec.json.decode(heard_text, type=list[tuple[str, Fence, str, int, msgspec.Raw]])
    request = declared.contracts.decode(declared.request.contract.name, version, request_text)
    results = {
        step: declared.steps[step].action.contracts.decode(name, number, bytes(data))
        for step, fence, name, number, data in rows
        if fence == "DONE"
    }
    heard = {plan.index[step]: fence for step, fence, *_ in rows}
    return Known(saga, declared, plan, Course(saga, request, results), heard)
