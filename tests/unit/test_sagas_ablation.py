"""
Each guard of the saga protocol, taken away alone: the explorer has to find what it was there for.

`pytest tests/unit/test_sagas_ablation.py -s` prints the shortest way to each.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from sagas import explorer, fence, protocol, reaction
from sagas.explorer import explore
from sagas.fence import Act, Direction, Fence
from sagas.plan import Plan
from sagas.protocol import Await, GiveUp, Input, Reply, Saga, Step, Style, TimedOut
from sagas.reaction import Heard
from tests.sagaplans import plan_of

TWICE = "an action took effect twice"
NOT_DONE = "something was undone that was not done, or twice"
LEAKS = "COMPENSATED, and an effect stands"
LIES = "COMPLETED, and a step's effect is not what it says"
EARLY = "done before what comes before it"
ORDER = "undone before what came after it"
PAST = "undone past the pivot"
PAST_PIVOT = "compensates past the pivot"
ENDLESS = "no end is in reach"
C: Style = "choreographed"
act_on, is_awaited, may_be_under_way = fence.act_on, protocol.is_awaited, protocol.may_be_under_way
is_fatal, react = reaction.is_fatal, reaction.reaction
PARKED_OR_RUNNING = ("RUNNING", "PARKED")


@dataclass(frozen=True)
class Without:
    """A guard, what stands in its place, and where and how that is noticed."""

    name: str
    module: ModuleType | type
    guard: str
    instead: Any
    sentence: str
    plan: str
    style: Style = "orchestrated"
    tries: int = 1
    parallel_undo: bool = False
    inputs: tuple[Input, ...] | None = None
    lossy: bool = False


def fenced(on: Direction, at: Fence | None, act: Act, after: Fence) -> Callable[..., Any]:
    """The fence with another answer in one place."""

    def instead(now: Fence | None, direction: Direction, *, is_final: bool) -> tuple[Act, Fence]:
        if (direction, now) == (on, at):
            return act, after
        return act_on(now, direction, is_final=is_final)

    return instead


def has(saga: Saga, i: int, *statuses: str) -> bool:
    return saga.steps[i].status in statuses


def pivot_is(p: Plan, saga: Saga, *statuses: str) -> bool:
    return p.pivot is not None and has(saga, p.pivot, *statuses)


def undo_of_pivot_too(now: Fence | None, direction: Direction, *, is_final: bool) -> Any:
    return act_on(now, direction, is_final=False)


def hasty(p: Plan, step: int, heard: Heard) -> Direction | None:
    """A reaction that looks at the steps directly before alone."""
    fatal = any(is_fatal(p, i, said) for i, said in heard.items())
    if not fatal and all(reaction.is_through(p, i, heard.get(i)) for i in p.before[step]):
        return "do"
    return react(p, step, heard)


ABLATIONS = [
    # The fence
    Without("a repeat gets the stored reply", fence, "act_on",
            fenced("do", "DONE", "run the action", "DONE"), TWICE, "a!"),
    Without("a refusal is kept", fence, "act_on",
            fenced("do", "REFUSED", "run the action", "DONE"), LEAKS, "a!"),
    Without("what is undone is not done again", fence, "act_on",
            fenced("do", "UNDONE", "run the action", "DONE"), TWICE, "a b!<a"),
    Without("an undo of nothing leaves VOIDED", fence, "act_on",
            fenced("do", "VOIDED", "run the action", "DONE"), LEAKS, "a!"),
    Without("what was never done is not undone", fence, "act_on",
            fenced("undo", None, "run the undo", "UNDONE"), NOT_DONE, "a!"),
    Without("what was refused is not undone", fence, "act_on",
            fenced("undo", "REFUSED", "run the undo", "UNDONE"), NOT_DONE, "a b!<a"),
    Without("an undo is not repeated", fence, "act_on",
            fenced("undo", "UNDONE", "run the undo", "UNDONE"), NOT_DONE, "a b!<a"),
    Without("a pivot that is done stays done", fence, "act_on", undo_of_pivot_too, PAST, "a!"),
    Without("fence and effect are one transaction", fence, "act_on",
            fenced("do", None, "nothing", "DONE"), LIES, "a!"),
    # The saga
    Without("only news is accepted", protocol, "is_awaited",
            lambda p, saga, i, said: True, LIES, "a o? p!<a,o"),
    Without("a DONE older than the undo is not heard", protocol, "is_awaited",
            lambda p, saga, i, said: has(saga, i, "UNDO_SENT") or is_awaited(p, saga, i, said),
            LIES, "a o? p!<a,o"),
    Without("a step that is given up stays so", protocol, "is_awaited",
            lambda p, saga, i, said: has(saga, i, "UNDONE") or is_awaited(p, saga, i, said),
            LIES, "a o? p!<a,o"),
    Without("a pivot that is asked may say DONE", protocol, "is_awaited",
            lambda p, saga, i, said: (said != "DONE" or has(saga, i, "SENT", "PARKED"))
            and is_awaited(p, saga, i, said), ENDLESS, "a!"),
    Without("what comes before is through", protocol, "is_passed",
            lambda p, step, i: True, LIES, "a!"),
    Without("an optional step is waited for", protocol, "is_passed",
            lambda p, step, i: p.steps[i].optional or step.status == "DONE", EARLY, "a o? p!<a,o"),
    Without("an optional step may be left out", protocol, "is_passed",
            lambda p, step, i: step.status == "DONE", ENDLESS, "a o? p!<a,o", C),
    Without("a needed step that is lost ends it", protocol, "is_lost",
            lambda p, step, i: False, ENDLESS, "a!"),
    Without("only a needed step's loss ends it", protocol, "is_lost",
            lambda p, step, i: step.status in ("REFUSED", "UNDONE", "VOIDED"),
            ENDLESS, "a b?<a c<b", C, inputs=()),
    Without("what is unknown is undone", protocol, "may_stand",
            lambda step: step.status == "DONE", ENDLESS, "a b!<a"),
    Without("what is under way is unknown", protocol, "may_be_under_way",
            lambda p, saga, i: False, ENDLESS, "a", lossy=True),
    Without("participants may begin unasked", protocol, "may_be_under_way",
            lambda p, saga, i: not has(saga, i, "PENDING") and may_be_under_way(p, saga, i),
            LEAKS, "a b?<a c!<b", C, parallel_undo=True),
    Without("an undo that is parked is sent again", protocol, "may_be_under_way",
            lambda p, saga, i: not has(saga, i, "UNDO_PARKED") and may_be_under_way(p, saga, i),
            ENDLESS, "o? p!<o", lossy=True),
    Without("what follows the pivot is not under way", protocol, "may_be_under_way",
            lambda p, saga, i: i in p.after_pivot or may_be_under_way(p, saga, i),
            ENDLESS, "a! b<a", C, inputs=()),
    Without("undone in reverse", protocol, "is_clear", lambda p, saga, i: True, ORDER, "a b<a"),
    Without("also behind a step that was passed over", protocol, "is_clear",
            lambda p, saga, i: all(has(saga, j, "PENDING", "REFUSED", "UNDONE", "VOIDED")
                                   for j in p.behind[i]), ORDER, "a b?<a c<b"),
    Without("only its pivot's participant knows", protocol, "is_decided_there",
            lambda saga, pivot: False, PAST_PIVOT, "a!"),
    Without("a choreographed pivot may begin unasked", protocol, "is_decided_there",
            lambda saga, pivot: not has(saga, pivot, "PENDING"), PAST_PIVOT, "a b!<a", C),
    Without("no way back past the pivot", protocol, "may_give_up",
            lambda p, saga: saga.status in PARKED_OR_RUNNING
            and not pivot_is(p, saga, "UNDO_SENT", "UNDO_PARKED"),
            "forgot that its pivot is done", "a! b<a"),
    Without("a pivot is asked once", protocol, "may_give_up",
            lambda p, saga: saga.status in PARKED_OR_RUNNING and not pivot_is(p, saga, "DONE"),
            "asked its pivot again while it is asking already", "a!", tries=2),
    Without("what is being undone is not given up again", protocol, "may_give_up",
            lambda p, saga: True, "left what it was parked for without a person", "a b!<a"),
    Without("only the last try's timer counts", protocol, "is_current",
            lambda step, timeout: step.status in ("SENT", "UNDO_SENT"),
            "given up before its last try timed out", "a!", tries=2),
    Without("timers wait while it is parked", protocol, "STUCK", frozenset(), ENDLESS, "a b!<a"),
    Without("all that comes before, not the last alone", protocol, "is_ready",
            lambda p, saga, i: all(protocol.is_passed(p, saga.steps[j], j) for j in p.before[i]),
            EARLY, "a b?<a c<b", C, parallel_undo=True),
    # What participants do by themselves
    Without("a refusal ends a choreography", reaction, "is_fatal",
            lambda p, i, heard: False, ENDLESS, "a b!<a", C, inputs=()),
    Without("so does what was voided", reaction, "is_fatal",
            lambda p, i, heard: heard == "REFUSED" and is_fatal(p, i, heard),
            ENDLESS, "a b!<a", C, inputs=(GiveUp(),)),
    Without("an optional step's refusal does not", reaction, "is_fatal",
            lambda p, i, heard: heard != "DONE", LIES, "a b<a c?<b", C),
    Without("each begins after what comes before", reaction, "is_through",
            lambda p, i, heard: True, EARLY, "a b!<a", C),
    Without("an optional step is heard first", reaction, "is_through",
            lambda p, i, heard: heard == "DONE" or p.steps[i].optional, EARLY, "a o? p!<a,o", C),
    Without("an optional step may refuse", reaction, "is_through",
            lambda p, i, heard: heard == "DONE", ENDLESS, "a o? p!<a,o", C, inputs=()),
    Without("participants undo in reverse", reaction, "is_undone_behind",
            lambda p, i, heard: i not in p.after_pivot, ORDER, "a b<a c<b", C),
    Without("participants undo by themselves", reaction, "is_undone_behind",
            lambda p, i, heard: False, ENDLESS, "a b<a", C, inputs=()),
    Without("participants wait for all that comes before", explorer, "reaction", hasty,
            EARLY, "a b?<a c<b", C, parallel_undo=True),
]  # fmt: skip


def way_to(without: Without) -> dict[str, list[str]]:
    planned = plan_of(without.plan, tries=without.tries, parallel_undo=without.parallel_undo)
    found = explore(planned, without.style, 60_000, inputs=without.inputs, lossy=without.lossy)
    return found.wrong | ({ENDLESS: found.hopeless_way} if found.hopeless else {})


@pytest.mark.parametrize("without", ABLATIONS, ids=lambda each: each.name)
def test_each_guard_is_needed(without: Without, monkeypatch: pytest.MonkeyPatch) -> None:
    assert way_to(without) == {}
    monkeypatch.setattr(without.module, without.guard, without.instead)
    found = way_to(without)
    assert without.sentence in found
    way = " > ".join(found[without.sentence])
    sys.stdout.write(
        f"\n{without.name} | {without.style} `{without.plan}` | {without.sentence} | {way}\n"
    )


def test_a_timer_of_what_is_not_under_way_is_no_try() -> None:
    """Only what is under way has tries, so `is_current` need not look at the status."""
    assert not protocol.is_current(Step("DONE"), TimedOut(0, 1))


def test_an_end_is_the_end() -> None:
    """No message of its own does anything to it; this is for those of others."""
    planned = plan_of("a b<a")
    saga = Saga("COMPENSATED", (Step("UNDONE"), Step()))
    assert protocol.transition(planned, saga, Reply(1, "DONE")) == (saga, ())


def test_a_refusal_past_the_pivot_is_tried_again_and_parked() -> None:
    """The contract forbids it, so it is a bug, and bugs are for a person."""
    planned = plan_of("a! b<a")
    saga = Saga("RUNNING", (Step("DONE"), Step("SENT", 1)))
    assert protocol.transition(planned, saga, Reply(1, "REFUSED")) == (saga, (Await(1),))
    parked, effects = protocol.transition(planned, saga, TimedOut(1, 1))
    assert (parked.status, parked.steps[1].status, effects) == ("PARKED", "PARKED", ())
