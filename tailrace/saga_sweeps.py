"""A sweep over the sagas of a pipeline: which stand still, and at each rung what is done."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import psycopg

from sagas import operate
from supervision import ladder, proposals, stuck
from supervision.proposals import ITSELF, CannotDo, Judgement, Tell
from supervision.stuck import Moved, Parked, Stuck
from tailrace.config import Pipeline
from tailrace.databases import Connection, why
from tailrace.destinations import office_sink, opened, saga_doer
from tailrace.exits import Problem
from tailrace.swept import Swept, about

NOT_PERSONS = (ITSELF, "deadline")


def sweep(pipeline: Pipeline, now: datetime | None = None) -> list[Swept]:
    """
    Each step at which sagas are parked, or that is above manual. What cannot be said or mended now
    is a `problem`.
    """
    found: list[Swept] = []
    try:
        if (sink := office_sink(pipeline)) is not None:
            with opened(pipeline, sink) as tx:
                found += _Sweep(pipeline, tx, now or datetime.now(UTC)).run()
    except (Problem, CannotDo, operate.CannotDo) as problem:
        found.append(Swept("sagas", problem=str(problem)))
    except psycopg.Error as error:
        found.append(Swept("sagas", problem=f"A server did not do it: {why(error)}."))
    return found


class _Sweep:
    """Of all steps of one database of sagas."""

    def __init__(self, pipeline: Pipeline, tx: Connection, now: datetime) -> None:
        self._pipeline, self._tx, self._now = pipeline, tx, now
        with tx.transaction():
            self._subjects = stuck.subjects(tx)

    def run(self) -> Iterator[Swept]:
        with self._tx.transaction():
            moved = stuck.moved(self._tx, self._subjects)
            parked = stuck.parked(self._tx)
            late = stuck.overdue(self._tx, self._now)
        for each in moved:
            settle(self._tx, each)
        failed = [subject for one in parked for subject in self._in_vain(one)]
        for subject in self._subjects:
            here = [one for one in parked if one.subject == subject]
            swept = self._of(subject, here, len(parked))
            swept.failed += failed.count(subject)
            if here or swept.failed or swept.rung != "manual":
                yield swept
        for each_late in late:
            yield Swept(f"saga:{each_late.type}", problem=_overdue(each_late))

    def _of(self, subject: str, here: Sequence[Parked], parked: int) -> Swept:
        began_s = time.monotonic()
        swept = Swept(subject, differing=len(here))
        with self._tx.transaction():
            swept.rung = proposals.standing(self._tx, subject).rung
        if here and parked > ladder.MOST:
            swept.problem = (
                f"More than {ladder.MOST:,} sagas are parked, which is too many to be moved one by"
                " one: see what their participants have in common."
            )
        for one in here:
            if finding := stuck.rule(one, self._now):
                about(self._tx, swept, finding, parked, self._do)
        swept.seconds = round(time.monotonic() - began_s, 3)
        return swept

    def _do(self, finding: Stuck, tell: Tell) -> str:
        return saga_doer(self._tx, self._pipeline, ITSELF, finding.says)(finding, tell)

    def _in_vain(self, one: Parked) -> Iterator[str]:
        """What was done for a saga that is parked again has failed."""
        with self._tx.transaction():
            for id_, subject in stuck.in_vain(self._tx, self._subjects, one):
                before = proposals.named(self._tx, [subject], id_, hold=True)
                if before.state == "done":
                    why = f"saga {one.saga} is parked again, at step {one.step}"
                    proposals.failed(self._tx, before, ITSELF, why)
                    yield subject


def settle(tx: Connection, moved: Moved) -> None:
    """
    A proposal about what is not so any more ends. At shadow, what a person did with the saga
    instead is their judgement on it.
    """
    with tx.transaction():
        one = proposals.named(tx, [moved.subject], moved.id, hold=True)
        if one.state != "open":
            return
        by_hand = moved.act is not None and moved.actor not in NOT_PERSONS
        if by_hand and one.rung == "shadow" and one.judgement is None:
            judgement: Judgement = "right" if moved.act == one.finding.deed else "wrong"
            said = f"by hand: {moved.act}, {moved.reason}"
            proposals.judge(tx, one, judgement, str(moved.actor), said)
        proposals.close(tx, one, "overtaken", ITSELF, "the saga is not as it was any more")


def _overdue(late: stuck.Overdue) -> str:
    return (
        f"{late.count:,} saga(s) of type {late.type} are overdue, the oldest by"
        f" {late.late_s:,.0f} s: no orchestrator's timers run. Start its `tailrace run`."
    )
