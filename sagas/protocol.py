"""
The saga protocol: `transition(plan, saga, input) -> (saga, effects)`. Pure: no I/O, no clock.

`tests/unit/test_sagas_explorer.py` visits every state that this function can reach, with messages
that are delivered any number of times, in any order, at any time, or never.

What is unknown is undone: a step that was sent and has not answered may have taken effect. A saga
gives up on a declared refusal, its deadline, a cancel; never on a bug or an outage: those are tried
again, then parked for a person. The pivot's own fence decides between both: to give up while the
pivot may be under way is to ask its participant to void it.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from sagas.fence import Direction, Fence
from sagas.plan import Plan

Status = Literal[
    "RUNNING", "COMPLETED", "PARKED", "COMPENSATING", "COMPENSATED", "COMPENSATION_PARKED"
]
StepStatus = Literal[
    "PENDING",
    "SENT",
    "DONE",
    "REFUSED",
    "PARKED",
    "UNKNOWN",
    "UNDO_SENT",
    "UNDONE",
    "VOIDED",
    "UNDO_PARKED",
]
Style = Literal["orchestrated", "choreographed"]

ENDED: frozenset[Status] = frozenset({"COMPLETED", "COMPENSATED"})
STUCK: frozenset[Status] = frozenset({"PARKED", "COMPENSATION_PARKED"})
_WITHOUT_EFFECT = frozenset({"PENDING", "REFUSED", "UNDONE", "VOIDED"})
_GIVEN_UP = frozenset({"REFUSED", "UNDONE", "VOIDED"})
_UNDOING = frozenset({"UNDO_SENT", "UNDO_PARKED"})
_DOING = frozenset({"SENT", "PARKED"})


class Step(msgspec.Struct, frozen=True, gc=False):
    """`tries`: how often its command was sent since it was last decided to send it."""

    status: StepStatus = "PENDING"
    tries: int = 0


class Saga(msgspec.Struct, frozen=True, gc=False):
    """
    One instance. In style choreographed the participants act by themselves on each other's events,
    and this only follows: it sends what is overdue, and what a deadline or a person asks for.
    """

    status: Status
    steps: tuple[Step, ...]
    style: Style = "orchestrated"


class Reply(msgspec.Struct, frozen=True, tag=True):
    """A participant's fence after a command; FAILED: its code raised, and nothing was kept."""

    step: int
    fence: Fence | Literal["FAILED"]


class TimedOut(msgspec.Struct, frozen=True, tag=True):
    """No answer to try number `tries`."""

    step: int
    tries: int


class GiveUp(msgspec.Struct, frozen=True, tag=True):
    """Its deadline has passed; `by_hand`: somebody wants it undone, also when it is parked."""

    by_hand: bool = False


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Somebody has mended what it was parked for."""


Input = Reply | TimedOut | GiveUp | Resume


class Send(msgspec.Struct, frozen=True):
    """A command to the step's participant, and a timer for its answer."""

    step: int
    direction: Direction


class Await(msgspec.Struct, frozen=True):
    """A timer alone: the participant acts by itself, or is to be asked again after a while."""

    step: int


class Keep(msgspec.Struct, frozen=True):
    """What the reply says is the step's result."""

    step: int


Effect = Send | Await | Keep
Effects = tuple[Effect, ...]


def begin(plan: Plan, style: Style) -> tuple[Saga, Effects]:
    """A new instance and its first commands."""
    return _advance(plan, Saga("RUNNING", (Step(),) * len(plan.steps), style), ())


def transition(plan: Plan, saga: Saga, input: Input) -> tuple[Saga, Effects]:
    """The same saga where the input does not concern it any more."""
    if saga.status in ENDED:
        return saga, ()
    if isinstance(input, Reply):
        return _on_reply(plan, saga, input)
    if isinstance(input, TimedOut):
        return _on_time_out(plan, saga, input)
    if isinstance(input, GiveUp):
        return _on_give_up(plan, saga, input)
    return _on_resume(plan, saga)


def may_give_up(plan: Plan, saga: Saga) -> bool:
    """Whether it is not past its pivot, nor being undone."""
    at_pivot = saga.steps[plan.pivot].status if plan.pivot is not None else "PENDING"
    return saga.status in ("RUNNING", "PARKED") and at_pivot not in ("DONE", *_UNDOING)


# What is asked of a state, each a guard of its own: the explorer takes them away one by one.


def is_awaited(plan: Plan, saga: Saga, i: int, said: Fence) -> bool:
    """Whether this answer is news of the step; any other is late, or a repeat."""
    status = saga.steps[i].status
    if status == "DONE":
        return said == "UNDONE" and i != plan.pivot
    if said != "DONE":
        return status not in _GIVEN_UP
    # While a step is being undone, DONE is older than the undo, and says nothing of it.
    return status in ("PENDING", *_DOING) or (status in _UNDOING and i == plan.pivot)


def is_decided_there(saga: Saga, pivot: int) -> bool:
    """Whether the pivot may be under way, so that only its participant can say how it ends."""
    return saga.style == "choreographed" or saga.steps[pivot].status != "PENDING"


def is_ready(plan: Plan, saga: Saga, i: int) -> bool:
    """Whether all that comes before the step is through."""
    return all(is_passed(plan, saga.steps[j], j) for j in plan.preceding[i])


def is_passed(plan: Plan, step: Step, i: int) -> bool:
    """Whether what comes after the step may begin."""
    return step.status == "DONE" or (plan.steps[i].optional and step.status in _GIVEN_UP)


def is_lost(plan: Plan, step: Step, i: int) -> bool:
    """Whether the saga cannot succeed without what this step will not do any more."""
    return step.status in _GIVEN_UP and not plan.steps[i].optional


def may_be_under_way(plan: Plan, saga: Saga, i: int) -> bool:
    """Whether the step's participant may have begun it without an answer so far."""
    if i in plan.after_pivot:
        return False
    status = saga.steps[i].status
    return status in (*_DOING, *_UNDOING) or (status == "PENDING" and saga.style == "choreographed")


def may_stand(step: Step) -> bool:
    """Whether there may be an effect to undo: also where no answer came."""
    return step.status in ("DONE", "UNKNOWN")


def is_clear(plan: Plan, saga: Saga, i: int) -> bool:
    """Whether its undo may begin: nothing that came after it has an effect any more."""
    if plan.parallel_undo:
        return True
    return all(saga.steps[j].status in _WITHOUT_EFFECT for j in plan.following[i])


def is_current(step: Step, timeout: TimedOut) -> bool:
    """Whether the timer is that of the last try; what is not under way has no tries."""
    return step.tries == timeout.tries


def _on_reply(plan: Plan, saga: Saga, reply: Reply) -> tuple[Saga, Effects]:
    i, said = reply.step, reply.fence
    if said == "FAILED" or (said == "REFUSED" and i in plan.after_pivot):
        in_flight = saga.steps[i].status in ("SENT", "UNDO_SENT")
        return saga, ((Await(i),) if in_flight else ())
    if not is_awaited(plan, saga, i, said):
        return saga, ()
    saga = _with(saga, i, Step(said))
    return _go_on(plan, saga, (Keep(i),))


def _on_time_out(plan: Plan, saga: Saga, timeout: TimedOut) -> tuple[Saga, Effects]:
    i, step, planned = timeout.step, saga.steps[timeout.step], plan.steps[timeout.step]
    if saga.status in STUCK or not is_current(step, timeout):
        return saga, ()
    is_undo = step.status == "UNDO_SENT"
    if step.tries < (planned.undo_tries if is_undo else planned.tries):
        again = Step(step.status, step.tries + 1)
        return _with(saga, i, again), (Send(i, "undo" if is_undo else "do"),)
    if planned.optional and not is_undo:
        return _with(saga, i, Step("UNDO_SENT", 1)), (Send(i, "undo"),)
    saga = _with(saga, i, Step("UNDO_PARKED" if is_undo else "PARKED"))
    stuck: Status = "PARKED" if saga.status == "RUNNING" else "COMPENSATION_PARKED"
    return msgspec.structs.replace(saga, status=stuck), ()


def _on_give_up(plan: Plan, saga: Saga, give_up: GiveUp) -> tuple[Saga, Effects]:
    if not may_give_up(plan, saga) or (saga.status == "PARKED" and not give_up.by_hand):
        return saga, ()
    if plan.pivot is not None and is_decided_there(saga, plan.pivot):
        asked = _with(saga, plan.pivot, Step("UNDO_SENT", 1))
        if saga.status == "PARKED":
            return _on_resume(plan, asked)
        return asked, (Send(plan.pivot, "undo"),)
    return _abort(plan, saga, ())


def _on_resume(plan: Plan, saga: Saga) -> tuple[Saga, Effects]:
    if saga.status not in STUCK:
        return saga, ()
    effects: list[Effect] = []
    for i, step in enumerate(saga.steps):
        if step.status in _UNDOING:
            saga = _with(saga, i, Step("UNDO_SENT", 1))
            effects.append(Send(i, "undo"))
        elif step.status in _DOING:
            saga = _with(saga, i, Step("SENT", 1))
            effects.append(Send(i, "do"))
    status: Status = "RUNNING" if saga.status == "PARKED" else "COMPENSATING"
    return _go_on(plan, msgspec.structs.replace(saga, status=status), tuple(effects))


def _go_on(plan: Plan, saga: Saga, effects: Effects) -> tuple[Saga, Effects]:
    """After an answer. What is parked notes the answer, and waits for a person."""
    if saga.status == "COMPENSATING":
        return _unwind(plan, saga, effects)
    if saga.status != "RUNNING":
        return saga, effects
    if any(is_lost(plan, step, i) for i, step in enumerate(saga.steps)):
        return _abort(plan, saga, effects)
    return _advance(plan, saga, effects)


def _advance(plan: Plan, saga: Saga, effects: Effects) -> tuple[Saga, Effects]:
    ready = [
        i
        for i, step in enumerate(saga.steps)
        if step.status == "PENDING" and is_ready(plan, saga, i)
    ]
    for i in ready:
        saga = _with(saga, i, Step("SENT", 1))
    first: Callable[[int], Effect] = (
        Await if saga.style == "choreographed" else lambda i: Send(i, "do")
    )
    effects += tuple(first(i) for i in ready)
    if all(is_passed(plan, step, i) for i, step in enumerate(saga.steps)):
        return msgspec.structs.replace(saga, status="COMPLETED"), effects
    return saga, effects


def _abort(plan: Plan, saga: Saga, effects: Effects) -> tuple[Saga, Effects]:
    """From here on nothing is done any more. What is under way may have taken effect."""
    steps = tuple(
        Step("UNKNOWN") if may_be_under_way(plan, saga, i) else step
        for i, step in enumerate(saga.steps)
    )
    return _unwind(plan, Saga("COMPENSATING", steps, saga.style), effects)


def _unwind(plan: Plan, saga: Saga, effects: Effects) -> tuple[Saga, Effects]:
    for i in reversed(range(len(saga.steps))):
        if may_stand(saga.steps[i]) and is_clear(plan, saga, i):
            saga = _with(saga, i, Step("UNDO_SENT", 1))
            is_own = saga.style == "choreographed"
            effects += (Await(i) if is_own else Send(i, "undo"),)
    if all(step.status in _WITHOUT_EFFECT for step in saga.steps):
        return msgspec.structs.replace(saga, status="COMPENSATED"), effects
    return saga, effects


def _with(saga: Saga, i: int, step: Step) -> Saga:
    return Saga(saga.status, (*saga.steps[:i], step, *saga.steps[i + 1 :]), saga.style)
