"""
What a person, or the supervisor in a person's place, does with a saga: each act with who and why,
in the log before it is sent, by the same transition as everything else.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from sagas import instances, protocol
from sagas.instances import Instance
from sagas.orchestrator import Orchestrator
from sagas.protocol import GiveUp, Input, Resume
from sagas.turn import Turn

Connection = psycopg.Connection[Any]


class CannotDo(Exception):
    """It does not fit the saga's state; the sentence says what it is in."""


def give_up(tx: Connection, office: Orchestrator, saga: UUID, actor: str, reason: str) -> None:
    """
    Cancel it: what was done is undone. A saga whose pivot is under way is asked there; it may still
    succeed. Raises CannotDo where it is past its pivot, is being undone already, or is over.
    """

    def check(one: Instance) -> None:
        if one.status in ("COMPENSATING", "COMPENSATION_PARKED"):
            raise CannotDo(f"saga {saga} is being undone already ({one.status})")
        if not protocol.may_give_up(one.plan, one.saga):
            raise CannotDo(f"saga {saga} is past its point of no return: it can only go on")

    _act(tx, office, saga, GiveUp(by_hand=True), actor, reason, check)


def resume(tx: Connection, office: Orchestrator, saga: UUID, actor: str, reason: str) -> None:
    """Let a parked saga go on: what is not answered is sent again. Raises CannotDo."""

    def check(one: Instance) -> None:
        if one.status not in protocol.STUCK:
            raise CannotDo(f"saga {saga} is not parked: it is {one.status}")

    _act(tx, office, saga, Resume(), actor, reason, check)


Act = Callable[[Connection, Orchestrator, UUID, str, str], None]
ACTS: Mapping[str, Act] = {"resume": resume, "compensate": give_up}
"""By the words that people use."""


def _act(
    tx: Connection,
    office: Orchestrator,
    saga: UUID,
    input: Input,
    actor: str,
    reason: str,
    check: Callable[[Instance], None],
) -> None:
    one = instances.named(tx, [saga]).get(saga)
    if one is None:
        raise CannotDo(f"there is no saga {saga} that is not over")
    check(one)
    turn = Turn(office.sagas, office.name, datetime.now(UTC))
    turn.act(one, input, actor, reason)
    turn.write(tx)
