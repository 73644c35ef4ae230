"""What a sweep came to, and what it does about a finding at each rung of the ladder."""

import msgspec

from supervision import ladder, proposals
from supervision.ladder import Rung
from supervision.proposals import ITSELF, Found
from tailrace.databases import Connection
from tailrace.destinations import Do, carry_out


class Swept(msgspec.Struct):
    """
    What a sweep of one subject came to. `tables`: that were compared, 0 of sagas. `differing`: rows
    that differ for sure, or sagas that are parked; `listed` by name of them those about which
    nothing was done. `problem`: why it is not known, or not all.
    """

    subject: str
    rung: Rung | None = None
    tables: int = 0
    differing: int = 0
    proposed: int = 0
    mended: int = 0
    overtaken: int = 0
    failed: int = 0
    seconds: float = 0.0
    listed: list[Found] = msgspec.field(default_factory=list)
    problem: str | None = None


def about(tx: Connection, swept: Swept, finding: Found, differing: int, do: Do) -> None:
    """List it, propose it, or do it; `differing` may count some that were not looked at."""
    rung = swept.rung
    assert rung is not None
    deed = ladder.deed(rung, differing)
    if deed == "list":
        swept.listed.append(finding)
        return
    with tx.transaction():
        id_, is_new = proposals.propose(tx, swept.subject, rung, finding)
    swept.proposed += is_new
    if deed == "propose" or id_ is None:
        return
    _, outcome = carry_out(tx, do, swept.subject, id_, ITSELF, finding.says)
    if outcome == "failed":
        swept.failed += 1
        swept.rung = ladder.below(rung)
    elif outcome != "decided":
        setattr(swept, outcome, getattr(swept, outcome) + 1)
