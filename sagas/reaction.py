"""
What a participant of a choreographed saga does by itself, from what it has heard. Pure.

Each begins once what comes before it is through, and undoes its own step once nothing that came
after it has an effect any more. The pivot is voided by the first refusal, so its fence decides
between a refusal, a deadline and its own success; the undoing begins there and goes backwards.
"""

from collections.abc import Mapping

from sagas.fence import Direction, Fence
from sagas.plan import Plan

Heard = Mapping[int, Fence]
"""The newest that was heard of each step."""


def reaction(plan: Plan, step: int, heard: Heard) -> Direction | None:
    """What this step's participant is to do now; its fence makes a repeat harmless."""
    if step == plan.pivot and any(is_fatal(plan, i, fence) for i, fence in heard.items()):
        return "undo"
    if is_undone_behind(plan, step, heard):
        return "undo"
    return "do" if all(is_through(plan, i, heard.get(i)) for i in plan.before[step]) else None


def is_fatal(plan: Plan, step: int, fence: Fence) -> bool:
    """Whether the saga cannot succeed any more."""
    return fence == "REFUSED" and not plan.steps[step].optional


def is_through(plan: Plan, step: int, fence: Fence | None) -> bool:
    """Whether what comes after it may begin."""
    return fence == "DONE" or (plan.steps[step].optional and fence is not None)


def is_undone_behind(plan: Plan, step: int, heard: Heard) -> bool:
    """Whether all that comes after it was refused, voided or undone: there is no way on."""
    behind = plan.behind[step]
    if step == plan.pivot or step in plan.after_pivot or not behind:
        return False
    return all(heard.get(i) in ("REFUSED", "UNDONE", "VOIDED") for i in behind)
