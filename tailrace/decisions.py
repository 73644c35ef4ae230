"""What a person decides about what the supervisor may do, and about its proposals."""

from typing import Any

from supervision import ladder, proposals
from supervision.mirror import Unsettled
from supervision.proposals import CannotDo, Proposal, Standing
from tailrace.config import Pipeline
from tailrace.databases import connect
from tailrace.destinations import carry_out, destinations, mirror_of, named, opened, sink_of
from tailrace.exits import TRY_AGAIN, USAGE, Problem


def standings(pipeline: Pipeline) -> list[Standing]:
    """Where each destination is. Raises Problem (TR-SUP-001)."""
    found = []
    for subject, sink in destinations(pipeline).items():
        with opened(pipeline, sink) as tx, tx.transaction():
            found.append(proposals.standing(tx, subject))
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

    def move(self, subject: str, rung: str) -> Standing:
        """To another rung."""
        wanted = next((known for known in ladder.RUNGS if known == rung), None)
        if wanted is None:
            raise Problem(
                "TR-SUP-004",
                f"There is no rung {rung}; there are {', '.join(ladder.RUNGS)}.",
                exit_code=USAGE,
            )
        with opened(self._pipeline, sink_of(self._pipeline, subject)) as tx, tx.transaction():
            proposals.move(tx, subject, wanted, self._actor, self._reason)
            return proposals.standing(tx, subject)

    def add_evidence(self, subject: str) -> None:
        """A green fault-injection run."""
        with opened(self._pipeline, sink_of(self._pipeline, subject)) as tx, tx.transaction():
            proposals.add_evidence(tx, subject, self._actor, self._reason)

    def approve(self, id_: str) -> tuple[Proposal, str]:
        """It is done now, once; whoever comes second is told. The proposal, and the outcome."""
        subject, sink, number = named(self._pipeline, id_)
        with (
            connect(self._pipeline.source.dsn, "source database") as source,
            opened(self._pipeline, sink) as tx,
        ):
            with tx.transaction():
                one = proposals.named(tx, subject, number)
            mirror = mirror_of(self._pipeline, sink, source, tx, one.finding.table)
            try:
                return carry_out(tx, mirror, subject, number, self._actor, self._reason)
            except Unsettled as unsettled:
                raise Problem(
                    "TR-SUP-006", f"It cannot be done now: {unsettled}.", exit_code=TRY_AGAIN
                ) from unsettled

    def reject(self, id_: str) -> Proposal:
        """It will not be done, nor be proposed again while the row stays as it is."""
        subject, sink, number = named(self._pipeline, id_)
        with opened(self._pipeline, sink) as tx, tx.transaction():
            one = proposals.named(tx, subject, number, hold=True)
            if one.state == "open":
                proposals.close(tx, one, "rejected", self._actor, self._reason)
            elif one.state != "rejected":
                raise CannotDo(f"proposal {id_} is {one.state} already, by {one.actor}")
            return proposals.named(tx, subject, number)

    def judge(self, id_: str, judgement: str) -> Proposal:
        """`right` or `wrong`."""
        if judgement not in ("right", "wrong"):
            raise Problem("TR-SUP-004", "A proposal is judged right or wrong.", exit_code=USAGE)
        subject, sink, number = named(self._pipeline, id_)
        with opened(self._pipeline, sink) as tx, tx.transaction():
            one = proposals.named(tx, subject, number, hold=True)
            verdict: Any = judgement
            proposals.judge(tx, one, verdict, self._actor, self._reason)
            return proposals.named(tx, subject, number)
