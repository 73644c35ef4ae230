"""Sagas as a person sees them: where each is, what it waits for, and all that happened to it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from sagas import log, protocol
from sagas.instances import STATEMENTS, Connection, StepRow
from sagas.protocol import StepStatus

_SAYS_WHY = ("heard", "failed")


class SeenStep(msgspec.Struct, frozen=True):
    """`tries`: how often its last command was sent. `due`: when it is sent again."""

    name: str
    status: StepStatus
    tries: int
    due: datetime | None


class SeenSaga(msgspec.Struct, frozen=True):
    """One saga as it is now; times are in UTC."""

    id: str
    type: str
    style: protocol.Style
    status: protocol.Status
    began_by: str
    began_at: datetime
    ended_at: datetime | None
    deadline_at: datetime
    next_at: datetime | None
    steps: list[SeenStep]

    @property
    def needs_somebody(self) -> bool:
        """Only a person, or the supervisor, moves it."""
        return self.status in protocol.STUCK

    @property
    def waits_for(self) -> list[str]:
        """Steps that are under way or stuck."""
        still = ("SENT", "PARKED", "UNDO_SENT", "UNDO_PARKED", "UNKNOWN")
        return [step.name for step in self.steps if step.status in still]


class Happened(msgspec.Struct, frozen=True):
    """A line of the log."""

    seq: int
    at: datetime
    kind: str
    step: str
    actor: str
    reason: str
    body: msgspec.Raw

    @property
    def text(self) -> str:
        """The body, as JSON."""
        return bytes(self.body).decode()


class Counted(msgspec.Struct, frozen=True):
    """How many sagas of a type there are in a status."""

    type: str
    status: protocol.Status
    count: int

    @property
    def needs_somebody(self) -> bool:
        """Only a person, or the supervisor, moves these."""
        return self.status in protocol.STUCK


class Timeline(msgspec.Struct, frozen=True):
    """A saga with its whole log, from the first line."""

    saga: SeenSaga
    log: list[Happened]

    @property
    def why_parked(self) -> str | None:
        """Where it stopped, since when, and what was said there last; None: it is not parked."""
        rang = [line for line in self.log if line.kind == "timed out"]
        if not self.saga.needs_somebody or not rang:
            return None
        step, at = rang[-1].step, rang[-1].at
        said = [one.reason for one in self.log if one.step == step and one.kind in _SAYS_WHY]
        undoing = "the undo of " if self.saga.status == "COMPENSATION_PARKED" else ""
        return (
            f"Since {at:%Y-%m-%d %H:%M:%S} UTC: {undoing}step {step} was not answered after all its"
            f" tries. Last heard: {said[-1] if said else 'nothing'}."
        )


def listed(
    tx: Connection, *, status: str | None = None, also_ended: bool = False, limit: int = 50
) -> list[SeenSaga]:
    """Those that need somebody first, then the newest."""
    asked = {"status": status, "all": also_ended, "limit": limit}
    return [_saga(row) for row in tx.execute(STATEMENTS["listed"], asked)]


def counted(tx: Connection) -> list[Counted]:
    """All sagas, by type and status."""
    return [Counted(*row) for row in tx.execute(STATEMENTS["counted"])]


def timeline(tx: Connection, saga: UUID) -> Timeline | None:
    """None: there is no such saga."""
    row = tx.execute(STATEMENTS["shown"], [saga]).fetchone()
    if row is None:
        return None
    return Timeline(_saga(row), list(_happened(log.rows(tx, str(saga)))))


def _happened(rows: Iterable[log.Row]) -> Iterable[Happened]:
    for row in rows:
        body = msgspec.Raw(row.body.encode())
        yield Happened(row.seq, row.at, row.kind, row.step, row.actor, row.reason, body)


def _saga(row: tuple[Any, ...]) -> SeenSaga:
    steps = msgspec.json.decode(row[-1], type=dict[str, StepRow])
    seen = [SeenStep(name, one.status, one.tries, one.due) for name, one in steps.items()]
    known = dict(zip(SeenSaga.__struct_fields__, row[:9], strict=False))
    return SeenSaga(**known, steps=seen)
