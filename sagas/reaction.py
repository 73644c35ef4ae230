"""
What a participant of a choreographed saga does by itself, from what it has heard. Pure.

Each begins once all that comes before it is through. Once it has heard that the saga cannot succeed
it undoes its own step instead, as soon as nothing that comes after it can have an effect any more.
The pivot comes first: its fence decides between a refusal, a deadline and its own success.
"""

from collections.abc import Mapping

from sagas.fence import Direction, Fence
from sagas.plan import Plan

Heard = Mapping[int, Fence]
"""The newest that was heard of each step."""


def reaction(plan: Plan, step: int, heard: Heard) -> Direction | None:
    """What this step's participant is to do now; its fence makes a repeat harmless."""
    if any(is_fatal(plan, i, fence) for i, fence in heard.items()):
        return "undo" if is_undone_behind(plan, step, heard) else None
    is_next = all(is_through(plan, i, heard.get(i)) for i in plan.preceding[step])
    return "do" if is_next else None


def is_fatal(plan: Plan, step: int, fence: Fence) -> bool:
    """Whether the saga cannot succeed any more: this step is needed, and will have no effect."""
    return fence != "DONE" and not plan.steps[step].optional


def is_through(plan: Plan, step: int, fence: Fence | None) -> bool:
    """Whether what comes after it may begin."""
    return fence == "DONE" or (plan.steps[step].optional and fence is not None)


def is_undone_behind(plan: Plan, step: int, heard: Heard) -> bool:
    """Whether all that comes after it was refused, voided or undone."""
    if step in plan.after_pivot:
        return False
    if plan.parallel_undo or step == plan.pivot:
        return True
    behind = plan.following[step] - plan.after_pivot
    return all(heard.get(i) in ("REFUSED", "UNDONE", "VOIDED") for i in behind)
