"""Sagas as rows: what the protocol decides, with results, timers and the plan each began with."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from sagas import protocol
from sagas.plan import Plan, plan_of
from sagas.protocol import Saga, Step, StepStatus, Style
from sinks.target import as_json, load_statements

STATEMENTS = load_statements(Path(__file__).with_name("instances.sql"))
TABLES = {"sagas.saga": STATEMENTS["schema"]}
Connection = psycopg.Connection[Any]


class Result(msgspec.Struct, frozen=True):
    """What a step's participant has said: an event of its contracts."""

    type: str
    version: int
    data: msgspec.Raw


class StepRow(msgspec.Struct, omit_defaults=True):
    """A step as it is stored. `due`: when its command is sent again if nothing is heard."""

    status: StepStatus
    tries: int = 0
    due: datetime | None = None
    result: Result | None = None


class Instance(msgspec.Struct):
    """One saga. `version` is that of the row as it was read."""

    id: UUID
    type: str
    style: Style
    plan: Plan
    status: protocol.Status
    version: int
    steps: dict[str, StepRow]
    request: str
    request_version: int
    deadline_at: datetime
    ended_at: datetime | None = None

    @property
    def saga(self) -> Saga:
        """As the protocol sees it."""
        steps = (self.steps[step.name] for step in self.plan.steps)
        return Saga(self.status, tuple(Step(row.status, row.tries) for row in steps), self.style)

    @property
    def next_at(self) -> datetime | None:
        """When a timer has to look at it."""
        if self.status in protocol.STUCK or self.ended_at is not None:
            return None
        times = [row.due for row in self.steps.values() if row.due is not None]
        if protocol.may_give_up(self.plan, self.saga):
            times.append(self.deadline_at)
        return min(times, default=None)


_encode = msgspec.json.Encoder().encode
_steps = msgspec.json.Decoder(dict[str, StepRow]).decode


def insert(tx: Connection, instance: Instance, began_by: str, began_at: datetime) -> bool:
    """False where a saga of its id is there already."""
    hash_, text = _stored(instance.plan)
    values = [
        *(hash_, instance.type, text),
        *(instance.id, instance.type, instance.style, hash_, instance.status),
        *(_encode(instance.steps).decode(), instance.request, instance.request_version),
        *(began_by, began_at, instance.deadline_at, instance.next_at),
    ]
    return tx.execute(STATEMENTS["begin"], values).rowcount == 1


def named(tx: Connection, ids: Collection[UUID]) -> dict[UUID, Instance]:
    """Those of these that are not over, locked until the end of the transaction."""
    return _instances(tx.execute(STATEMENTS["named"], [list(ids)]))


def due(tx: Connection, now: datetime, types: Sequence[str], limit: int) -> dict[UUID, Instance]:
    """Some whose time has come, locked."""
    return _instances(tx.execute(STATEMENTS["due"], [now, list(types), limit]))


def save(tx: Connection, instances: Sequence[Instance], now: datetime) -> int:
    """How many of them were still what was read."""
    if not instances:
        return 0
    rows = (
        {
            "id": each.id,
            "version": each.version,
            "status": each.status,
            "steps": _encode(each.steps).decode(),
            "next_at": each.next_at,
            "ended_at": each.ended_at,
        }
        for each in instances
    )
    return tx.execute(STATEMENTS["save"], [now, as_json(rows)]).rowcount


class Live(msgspec.Struct, frozen=True):
    """Instances that are not over and have one plan; `ids` are the oldest of them."""

    type: str
    plan: Plan
    count: int
    ids: list[str]


def live(tx: Connection, types: Sequence[str]) -> list[Live]:
    """What running sagas need."""
    rows = tx.execute(STATEMENTS["live_plans"], [list(types)])
    return [Live(type_, plan_of(plan), count, ids) for type_, plan, count, ids in rows]


def _instances(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, Instance]:
    return {
        id_: Instance(id_, type_, style, plan_of(plan), status, version, _steps(steps), *rest[:3])
        for id_, type_, style, plan, status, version, steps, *rest in rows
    }


@lru_cache(maxsize=256)
def _stored(plan: Plan) -> tuple[str, str]:
    """Its hash, and itself as text."""
    text = _encode(plan)
    return sha256(text).hexdigest(), text.decode()
