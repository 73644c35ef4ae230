"""What must never be in a saga, as sentences. Pure; the explorer and the simulator look at them."""

from sagas.fence import Fence
from sagas.plan import Plan
from sagas.protocol import ENDED, STUCK, Effects, GiveUp, Input, Resume, Saga, TimedOut

Counts = tuple[Fence | None, int, int]
"""Of one step: its fence, how often it was done, how often undone."""

_GIVES_UP = ("COMPENSATING", "COMPENSATED", "COMPENSATION_PARKED")


def wrong_state(plan: Plan, saga: Saga, at: tuple[Counts, ...]) -> str | None:
    """What must never be, in any state, also long after the end."""
    stands = [done - undone for _, done, undone in at]
    if any(done > 1 for _, done, _ in at):
        return "an action took effect twice"
    if min(stands) < 0:
        return "something was undone that was not done, or twice"
    if saga.status == "COMPENSATED" and any(stands):
        return "COMPENSATED, and an effect stands"
    if saga.status == "COMPLETED" and stands != [step.status == "DONE" for step in saga.steps]:
        return "COMPLETED, and a step's effect is not what it says"
    return _wrong_pivot(plan, saga, at) or _wrong_order(plan, at, stands)


def _wrong_pivot(plan: Plan, saga: Saga, at: tuple[Counts, ...]) -> str | None:
    if plan.pivot is None or not at[plan.pivot][1]:
        return None
    if any(undone and not plan.steps[i].optional for i, (_, _, undone) in enumerate(at)):
        return "undone past the pivot"
    return "compensates past the pivot" if saga.status in _GIVES_UP else None


def _wrong_order(plan: Plan, at: tuple[Counts, ...], stands: list[int]) -> str | None:
    for i, (_, done, undone) in enumerate(at):
        if done and not all(_is_through(plan, j, at[j]) for j in plan.preceding[i]):
            return "done before what comes before it"
        is_ordered = undone and not plan.steps[i].optional and not plan.parallel_undo
        if is_ordered and any(stands[j] for j in plan.following[i]):
            return "undone before what came after it"
    return None


def _is_through(plan: Plan, i: int, at: Counts) -> bool:
    return at[1] > 0 or (plan.steps[i].optional and at[0] is not None)


def wrong_move(
    plan: Plan, saga: Saga, input: Input, after: Saga, effects: Effects = ()
) -> str | None:
    """What no input may do to a saga."""
    if saga.status in ENDED and (after != saga or effects):
        return "went on after its end"
    by_a_person = isinstance(input, Resume) or (isinstance(input, GiveUp) and input.by_hand)
    if saga.status in STUCK and after.status != saga.status and not by_a_person:
        return "left what it was parked for without a person"
    pivot = plan.pivot
    if pivot is not None and saga.steps[pivot].status == "DONE" != after.steps[pivot].status:
        return "forgot that its pivot is done"
    return _wrong_tries(plan, saga, input, after)


def _wrong_tries(plan: Plan, saga: Saga, input: Input, after: Saga) -> str | None:
    if isinstance(input, GiveUp) and plan.pivot is not None:
        was, now = saga.steps[plan.pivot], after.steps[plan.pivot]
        if was.status == now.status == "UNDO_SENT" and now.tries < was.tries:
            return "asked its pivot again while it is asking already"
    if isinstance(input, TimedOut):
        was, now = saga.steps[input.step], after.steps[input.step]
        planned = plan.steps[input.step]
        tries = planned.undo_tries if was.status == "UNDO_SENT" else planned.tries
        if now.status != was.status and input.tries < tries:
            return "given up before its last try timed out"
    return None
