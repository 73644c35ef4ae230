"""
How far a machine may act by itself on one subject, and what has to be shown before it may. Pure.

A subject climbs a rung at a time, by a person's word and on evidence that was gathered on the rung
below since it came there. What fails, or is judged wrong, takes it down a rung without anybody.
"""

from typing import Literal, get_args

import msgspec

Rung = Literal["manual", "shadow", "approve", "automatic"]
Deed = Literal["list", "propose", "act"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
ENOUGH = 5
"""So many proposals that were right, or so many approved ones that worked."""
MOST = 1000
"""The most rows of a table that are looked at; if more differ, something else is wrong."""


class Evidence(msgspec.Struct, frozen=True):
    """
    What happened since the subject came to its rung. `right` and `wrong` were judged by a person,
    `approved` done on a person's word, `failed` tried in vain; `runs` are fault-injection runs that
    somebody recorded as green.
    """

    right: int = 0
    wrong: int = 0
    approved: int = 0
    failed: int = 0
    runs: int = 0


def below(rung: Rung) -> Rung:
    """The next lower rung; there is none below manual."""
    return RUNGS[max(0, RUNGS.index(rung) - 1)]


def above(rung: Rung) -> Rung | None:
    """The next higher one."""
    return RUNGS[RUNGS.index(rung) + 1] if rung != RUNGS[-1] else None


def refusal(now: Rung, wanted: Rung, evidence: Evidence) -> str | None:
    """Why the subject may not change from one rung to the other; None: it may."""
    if RUNGS.index(wanted) <= RUNGS.index(now):
        return None
    if wanted != above(now):
        return f"from {now} the next rung is {above(now)}"
    return lacking(now, evidence)


def lacking(now: Rung, evidence: Evidence) -> str | None:
    """What is not shown yet for the rung above; None: nothing."""
    if now == "shadow":
        if evidence.wrong or evidence.right < ENOUGH:
            return (
                f"{ENOUGH} proposals have to be judged right and none wrong; since it came to"
                f" shadow {evidence.right} were right and {evidence.wrong} wrong"
            )
    elif now == "approve":
        if evidence.failed or evidence.wrong or evidence.approved < ENOUGH:
            return (
                f"{ENOUGH} approved proposals have to be done, none failed and none judged wrong;"
                f" since it came to approve {evidence.approved} were done, {evidence.failed}"
                f" failed and {evidence.wrong} were wrong"
            )
        if not evidence.runs:
            return "no green fault-injection run is recorded since it came to approve"
    return None


def deed(rung: Rung, differing: int) -> Deed:
    """What a sweep does with a table's differences; `differing` may count some not looked at."""
    if rung == "manual" or differing > MOST:
        return "list"
    return "act" if rung == "automatic" else "propose"
