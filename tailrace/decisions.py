"""What a person decides about what the supervisor may do, and about its proposals."""

from contextlib import AbstractContextManager
from typing import Any

from supervision import ladder, proposals
from supervision.mirror import Unsettled
from supervision.proposals import CannotDo, Proposal, Standing
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.destinations import (
    carry_out,
    doer,
    named,
    opened,
    sink_of,
    subjects,
    watched,
)
from tailrace.exits import TRY_AGAIN, USAGE, Problem

Listed = dict[str, Proposal]


def standings(pipeline: Pipeline) -> list[Standing]:
    """Where each destination and each step of a saga is. Raises Problem (TR-SUP-001)."""
    found = []
    for sink in watched(pipeline):
        with opened(pipeline, sink) as tx, tx.transaction():
            here = subjects(pipeline, sink, tx)
            found += [proposals.standing(tx, subject) for subject in here]
    return found


def listed(pipeline: Pipeline, *, also_decided: bool = False, limit: int = 50) -> Listed:
    """Proposals by what they are called, of each sink the newest first. Raises Problem."""
    found = {}
    for sink in watched(pipeline):
        with opened(pipeline, sink) as tx:
            here = subjects(pipeline, sink, tx)
            for one in proposals.listed(tx, here, also_decided=also_decided, limit=limit):
                found[f"{sink}/{one.id}"] = one
    return found


class Desk:
    """What a person decides about the proposals of one pipeline. Raises Problem (TR-SUP-…)."""

    def __init__(self, pipeline: Pipeline, actor: str, reason: str) -> None:
        if not reason.strip():
            raise Problem(
                "TR-SUP-003", "Say why, with --reason: it is kept for ever.", exit_code=USAGE
            )
        self._pipeline = pipeline
        self._actor, self._reason = actor, reason

    def _opened(self, subject: str) -> AbstractContextManager[Connection]:
        return opened(self._pipeline, sink_of(self._pipeline, subject))

    def move(self, subject: str, rung: str) -> Standing:
        """To another rung."""
        wanted = next((known for known in ladder.RUNGS if known == rung), None)
        if wanted is None:
            raise Problem(
                "TR-SUP-004",
                f"There is no rung {rung}; there are {', '.join(ladder.RUNGS)}.",
                exit_code=USAGE,
            )
        with self._opened(subject) as tx, tx.transaction():
            proposals.move(tx, subject, wanted, self._actor, self._reason)
            return proposals.standing(tx, subject)

    def add_evidence(self, subject: str) -> None:
        """A green fault-injection run."""
        with self._opened(subject) as tx, tx.transaction():
            proposals.add_evidence(tx, subject, self._actor, self._reason)

    def approve(self, id_: str) -> tuple[Proposal, str]:
        """It is done now, once; whoever comes second is told. The proposal, and the outcome."""
        pipeline, actor, reason = self._pipeline, self._actor, self._reason
        sink, number = named(pipeline, id_)
        with opened(pipeline, sink) as tx:
            with tx.transaction():
                one = proposals.named(tx, subjects(pipeline, sink, tx), number)
            with doer(pipeline, sink, tx, one.finding, actor, reason) as do:
                try:
                    return carry_out(tx, do, one.subject, number, actor, reason)
                except Unsettled as unsettled:
                    raise Problem(
                        "TR-SUP-006", f"It cannot be done now: {unsettled}.", exit_code=TRY_AGAIN
                    ) from unsettled

    def reject(self, id_: str) -> Proposal:
        """It will not be done, nor be proposed again while the row or saga stays as it is."""
        sink, number = named(self._pipeline, id_)
        with opened(self._pipeline, sink) as tx, tx.transaction():
            here = subjects(self._pipeline, sink, tx)
            one = proposals.named(tx, here, number, hold=True)
            if one.state == "open":
                proposals.close(tx, one, "rejected", self._actor, self._reason)
            elif one.state != "rejected":
                raise CannotDo(f"proposal {id_} is {one.state} already, by {one.actor}")
            return proposals.named(tx, here, number)

    def judge(self, id_: str, judgement: str) -> Proposal:
        """`right` or `wrong`."""
        if judgement not in ("right", "wrong"):
            raise Problem("TR-SUP-004", "A proposal is judged right or wrong.", exit_code=USAGE)
        sink, number = named(self._pipeline, id_)
        with opened(self._pipeline, sink) as tx, tx.transaction():
            here = subjects(self._pipeline, sink, tx)
            one = proposals.named(tx, here, number, hold=True)
            verdict: Any = judgement
            proposals.judge(tx, one, verdict, self._actor, self._reason)
            return proposals.named(tx, here, number)
