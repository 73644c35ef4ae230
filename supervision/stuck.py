"""
Sagas that stand still: which act would move each on, and that act.

The rule. What is parked before its pivot and past its deadline is to be undone, as its timer would
have done. Everything else that is parked is to be resumed, once its participant answers again:
past the pivot, and while it is undone, there is only this way.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import psycopg

from sagas import operate, protocol
from sagas.instances import StepRow
from sagas.orchestrator import Orchestrator
from sagas.plan import plan_of
from sagas.protocol import Saga, Step
from sinks.target import load_statements
from supervision import ladder

STATEMENTS = load_statements(Path(__file__).with_name("stuck.sql"))
QUIET_S = 600.0
"""So long a saga stays parked if its participant has answered nothing at all since."""
OVERDUE_S = 60.0
"""So late a saga is overdue: nobody's timers look at it."""

Connection = psycopg.Connection[Any]
Act = Literal["resume", "compensate"]
KINDS: Mapping[str, Act] = {"resumed": "resume", "gave up": "compensate"}
"""Acts by their kinds of line in a saga's own log."""


class Stuck(msgspec.Struct, frozen=True, tag_field="of", tag="saga"):
    """
    A saga that is parked at a step, and what would be done about it. `version` is the saga's: once
    it has moved, this is not so any more. `line` of the log is the one that parked it.
    """

    type: str
    saga: str
    step: str
    status: protocol.Status
    version: int
    line: int
    act: Act

    @property
    def says(self) -> str:
        """What was found."""
        if self.act == "compensate":
            return f"a saga is {self.status}: its deadline has passed before its pivot"
        return f"a saga is {self.status}: step {self.step} was not answered after all its tries"

    @property
    def deed(self) -> str:
        """How the log calls what was done."""
        return self.act

    @property
    def before(self) -> str:
        """What the log has of how it was."""
        return self.status


class Parked(msgspec.Struct, frozen=True):
    """
    A parked saga as the rule sees it. `has_answered`: its participant has, since it was parked;
    `way_back`: it is not past its pivot, nor being undone.
    """

    type: str
    saga: str
    step: str
    status: protocol.Status
    version: int
    deadline_at: datetime
    line: int
    parked_at: datetime
    has_answered: bool
    way_back: bool

    @property
    def subject(self) -> str:
        """The step's name on the ladder."""
        return subject_of(self.type, self.step)


class Overdue(msgspec.Struct, frozen=True):
    """Sagas of a type that no timer has looked at in time, and by how much the oldest is late."""

    type: str
    count: int
    late_s: float


def subject_of(type_: str, step: str) -> str:
    """The name of a step on the ladder."""
    return f"saga:{type_}/{step}"


def is_here(tx: Connection) -> bool:
    """Whether this database has sagas."""
    found = tx.execute(STATEMENTS["present"]).fetchone()
    return bool(found and found[0])


def subjects(tx: Connection) -> list[str]:
    """Each step of each type of saga that ever began here."""
    return [subject_of(*row) for row in tx.execute(STATEMENTS["steps"])]


def rule(one: Parked, now: datetime) -> Stuck | None:
    """What is to be done about it now; None: wait. Pure."""
    found = Stuck(one.type, one.saga, one.step, one.status, one.version, one.line, "resume")
    if one.way_back and one.deadline_at <= now:
        return msgspec.structs.replace(found, act="compensate")
    quiet_until = one.parked_at + timedelta(seconds=QUIET_S)
    return found if one.has_answered or quiet_until <= now else None


def parked(tx: Connection) -> list[Parked]:
    """The first that were parked, one more than the supervisor acts on."""
    heard = dict(tx.execute(STATEMENTS["heard"]).fetchall())
    rows = tx.execute(STATEMENTS["parked"], [ladder.MOST + 1]).fetchall()
    return [_parked(heard, *row) for row in rows]


def _parked(
    heard: Mapping[str, int],
    id_: str,
    type_: str,
    plan_text: str,
    style: protocol.Style,
    status: protocol.Status,
    version: int,
    steps_text: str,
    deadline_at: datetime,
    step: str,
    line: int,
    parked_at: datetime,
) -> Parked:
    plan = plan_of(plan_text)
    rows = msgspec.json.decode(steps_text, type=dict[str, StepRow])
    steps = (rows[planned.name] for planned in plan.steps)
    saga = Saga(status, tuple(Step(row.status, row.tries) for row in steps), style)
    participant = plan.steps[plan.index[step]].participant
    return Parked(
        type_,
        id_,
        step,
        status,
        version,
        deadline_at,
        line,
        parked_at,
        heard.get(f"participant {participant}", 0) > line,
        protocol.may_give_up(plan, saga),
    )


def overdue(tx: Connection, now: datetime) -> list[Overdue]:
    """By type; of one that is here no orchestrator's timers run."""
    rows = tx.execute(STATEMENTS["overdue"], [now, now - timedelta(seconds=OVERDUE_S)])
    return [Overdue(*row) for row in rows]


def act(
    tx: Connection,
    office: Orchestrator,
    one: Stuck,
    actor: str,
    reason: str,
    tell: Callable[[str | None], None],
) -> Literal["mended", "overtaken"]:
    """
    In the caller's transaction. `overtaken`: the saga is not what was found any more. `tell` is
    called before the act. Raises operate.CannotDo.
    """
    id_ = UUID(one.saga)
    if tx.execute(STATEMENTS["version"], [id_]).fetchone() != (one.version,):
        return "overtaken"
    tell(None)
    operate.ACTS[one.act](tx, office, id_, actor, reason)
    return "mended"


class Moved(msgspec.Struct, frozen=True):
    """An open proposal whose saga has moved; by which act, and whose, if somebody's."""

    id: int
    subject: str
    actor: str | None
    act: Act | None
    reason: str | None


def moved(tx: Connection, subjects: Sequence[str]) -> list[Moved]:
    """Open proposals about sagas that are not what they were."""
    return [
        Moved(id_, subject, actor, KINDS.get(kind), reason)
        for id_, subject, actor, kind, reason in tx.execute(STATEMENTS["moved"], [list(subjects)])
    ]


def in_vain(tx: Connection, subjects: Sequence[str], one: Parked) -> list[tuple[int, str]]:
    """Numbers and subjects of what was done in the last day for a saga that is parked again."""
    asked = {"subjects": list(subjects), "subject": one.subject, "saga": one.saga}
    return [tuple(row) for row in tx.execute(STATEMENTS["in_vain"], asked)]
