"""Sagas of any shape: plans that are refused, plans that hold, and any order of inputs."""

import pytest
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from sagas.explorer import explore
from sagas.invariants import wrong_move
from sagas.plan import Plan, PlanError, PlannedStep
from sagas.protocol import (
    ENDED,
    GiveUp,
    Input,
    Reply,
    Resume,
    Saga,
    Send,
    Style,
    TimedOut,
    begin,
    transition,
)
from tests.sagaplans import TOUR, plan_of

NAMES = "abcd"
STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
ENOUGH_STATES = 8_000
IN_FLIGHT = ("SENT", "UNDO_SENT")


@st.composite
def plans(draw: st.DrawFn, most: int = 4) -> Plan:
    """Any plan, also such that are refused; listed in any order."""
    names = NAMES[: draw(st.integers(1, most))]
    pivot = draw(st.sampled_from([None, *names]))
    steps = [
        PlannedStep(
            name=name,
            action=f"{name}.act",
            after=tuple(before for before in names[:i] if draw(st.booleans())),
            pivot=name == pivot,
            optional=draw(st.booleans()),
            tries=1,
            undo_tries=1,
        )
        for i, name in enumerate(names)
    ]
    ordered = tuple(draw(st.permutations(steps)))
    return Plan(type="any", steps=ordered, deadline_s=1, parallel_undo=draw(st.booleans()))


def holds(plan: Plan) -> bool:
    try:
        plan.check()
    except PlanError:
        return False
    return True


INPUTS = st.one_of(
    st.builds(
        Reply, st.integers(0, 3), st.sampled_from(["DONE", "REFUSED", "UNDONE", "VOIDED", "FAILED"])
    ),
    st.builds(TimedOut, st.integers(0, 3), st.integers(1, 3)),
    st.builds(GiveUp, st.booleans()),
    st.just(Resume()),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(plans().filter(holds), st.sampled_from(STYLES))
@example(plan_of("a b?<a c!<b", parallel_undo=True), "choreographed")
@example(plan_of("a b?<a c<b"), "orchestrated")
def test_whatever_passes_the_check_holds(plan: Plan, style: Style) -> None:
    """Where it has too many states for a short test, a smaller plan is drawn instead."""
    try:
        found = explore(plan, style, ENOUGH_STATES)
    except MemoryError:
        reject()
    assert found.wrong == {}
    assert found.hopeless == 0


@settings(max_examples=150, deadline=None)
@given(plans().filter(holds), st.sampled_from(STYLES), st.lists(INPUTS, max_size=40))
@example(plan_of("a b!<a"), "orchestrated", [Reply(1, "DONE"), Reply(1, "REFUSED")])
def test_any_inputs_in_any_order(plan: Plan, style: Style, inputs: list[Input]) -> None:
    """Also such that no participant would send: no error, and the same again when folded again."""

    def fold() -> list[tuple[Saga, object]]:
        saga, effects = begin(plan, style)
        seen: list[tuple[Saga, object]] = [(saga, effects)]
        for each in inputs:
            if isinstance(each, Reply | TimedOut) and each.step >= len(plan.steps):
                continue
            after, effects = transition(plan, saga, each)
            assert wrong_move(plan, saga, each, after, effects) is None
            assert all((step.tries > 0) == (step.status in IN_FLIGHT) for step in after.steps)
            saga = after
            seen.append((saga, effects))
        return seen

    first = fold()
    assert fold() == first
    ended = [saga for saga, _ in first if saga.status in ENDED]
    assert len(set(ended)) <= 1


@given(plans())
def test_what_is_behind_is_what_comes_before_turned_round(plan: Plan) -> None:
    steps = range(len(plan.steps))
    for i in steps:
        assert i not in plan.preceding[i]
        assert {j for j in steps if i in plan.preceding[j]} == plan.following[i]
        assert set(plan.before[i]) <= plan.preceding[i]


@pytest.mark.parametrize("style", STYLES)
def test_a_saga_sends_only_to_its_own_steps(style: Style) -> None:
    plan = plan_of(TOUR)
    saga, effects = begin(plan, style)
    sends = [effect.step for effect in effects if isinstance(effect, Send)]
    assert sends == ([0, 1, 2] if style == "orchestrated" else [])
    assert [step.status for step in saga.steps] == ["SENT"] * 3 + ["PENDING"] * 2


A = PlannedStep(name="a", action="a.act")


@pytest.mark.parametrize(
    ("steps", "deadline_s", "sentence"),
    [
        ((), 1, "it has no steps"),
        ((A, A), 1, "two steps have one name"),
        ((A,), 0, "its deadline has to be above 0 s"),
        ((PlannedStep(name="b", action="b.act", after=("z",)),), 1, "b comes after z, no step"),
        ((PlannedStep(name="a", action="a.act", tries=0),), 1, "needs at least one try"),
        ((PlannedStep(name="a", action="a.act", undo_tries=0),), 1, "needs at least one try"),
        ((PlannedStep(name="a", action="a.act", timeout_s=0),), 1, "a timeout above 0 s"),
        (
            (
                PlannedStep(name="a", action="a.act", after=("b",)),
                PlannedStep(name="b", action="b.act", after=("a",)),
            ),
            1,
            "steps wait for each other in a circle",
        ),
        (
            (
                PlannedStep(name="a", action="a.act", pivot=True),
                PlannedStep(name="b", action="b.act", pivot=True),
            ),
            1,
            "it has 2 pivots (a, b)",
        ),
        (
            (PlannedStep(name="a", action="a.act", pivot=True, optional=True),),
            1,
            "step a is the pivot, so it cannot be optional",
        ),
        (
            (A, PlannedStep(name="p", action="p.act", pivot=True)),
            1,
            "step a runs beside the pivot p",
        ),
    ],
)
def test_bad_plans_are_refused(
    steps: tuple[PlannedStep, ...], deadline_s: float, sentence: str
) -> None:
    with pytest.raises(PlanError) as refused:
        Plan(type="book", steps=steps, deadline_s=deadline_s).check()
    assert str(refused.value).startswith("saga book: ")
    assert sentence in str(refused.value)
