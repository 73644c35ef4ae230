"""Thousands of tours under every fault, from seeds that are named where one fails."""

from collections import Counter
from types import ModuleType

import pytest

from sagas import fence, protocol
from sagas.fence import Act, Direction, Fence
from sagas.plan import Plan
from sagas.protocol import Style
from tests.sagaplans import TOUR, plan_of
from tests.simulated import Faults, Run, Simulated

STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
ACT_ON = fence.act_on
SEEDS = range(3)
SAGAS = 60
ROUGH = Faults(
    lost=0.1, repeated=0.2, died_before=0.1, died_after=0.1, failed=0.1, refused=0.15, late_s=3.0
)
PATIENT = 12
"""Tries that outlast the faults, so that how it ends is decided by the seed alone."""


def ended(simulated: Simulated) -> Simulated:
    """Every saga ends in exactly one way, and what it says is what stands."""
    seed = f"seed {simulated.seed}, {simulated.style}"
    assert simulated.wrong == [], seed
    assert {run.saga.status for run in simulated.runs} <= {"COMPLETED", "COMPENSATED"}, seed
    for number, run in enumerate(simulated.runs):
        assert stands(run) == expected(simulated.plan, run), f"{seed}, saga {number}"
    assert max(Counter(simulated.committed).values(), default=0) <= 1, seed
    in_order(simulated, seed)
    return simulated


def stands(run: Run) -> list[int]:
    return [done - undone for done, undone in zip(run.done, run.undone, strict=True)]


def expected(plan: Plan, run: Run) -> list[int]:
    if run.saga.status == "COMPENSATED":
        return [0] * len(plan.steps)
    needed = zip(plan.steps, stands(run), strict=True)
    return [stand if step.optional else 1 for step, stand in needed]


def in_order(simulated: Simulated, seed: str) -> None:
    """For every edge undo commits in reverse, and nothing needed is undone past the pivot."""
    plan = simulated.plan
    at = {commit: when for when, commit in enumerate(simulated.committed)}
    for (number, i, way), when in at.items():
        if way == "do" or plan.steps[i].optional:
            continue
        assert plan.pivot is None or (number, plan.pivot, "do") not in at, seed
        for j in plan.following[i]:
            later = (number, j, "do") in at
            assert plan.parallel_undo or not later or at[number, j, "undo"] < when, seed


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", SEEDS)
def test_tours_end_as_they_say(seed: int, style: Style) -> None:
    plan = plan_of(TOUR, tries=3)
    simulated = Simulated(plan, style, seed, ROUGH, deadline_share=0.3).run(SAGAS)
    ended(simulated)
    assert all(simulated.happened[fault] for fault in (
        "lost", "repeated", "died_before", "died_after", "failed", "parked"
    ))  # fmt: skip
    assert {status for status, _ in simulated.outcomes()} == {"COMPLETED", "COMPENSATED"}


@pytest.mark.parametrize("style", STYLES)
def test_no_more_is_held_than_there_is(style: Style) -> None:
    """Conservation at each commit; who is too late is refused, and holds nothing."""
    for seed in SEEDS:
        plan = plan_of(TOUR, tries=3)
        simulated = Simulated(plan, style, seed, ROUGH, stock=25).run(SAGAS)
        ended(simulated)
        completed = sum(run.saga.status == "COMPLETED" for run in simulated.runs)
        assert 0 < completed <= 25
        assert simulated.free[0] == 25 - completed


@pytest.mark.parametrize("text", [TOUR, "a b<a c?<b", "a b?<a c!<b d<c", "a b<a c<a d!<b,c"])
def test_both_styles_end_alike(text: str) -> None:
    """What a seed decides, it decides in both: the same number of sagas with the same effects."""
    for seed in SEEDS:
        plan = plan_of(text, tries=PATIENT)
        one, other = (ended(Simulated(plan, style, seed, ROUGH).run(SAGAS)) for style in STYLES)
        assert one.outcomes() == other.outcomes(), f"seed {seed}"
        assert len(one.outcomes()) > 1


@pytest.mark.parametrize("parallel_undo", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_a_quiet_log_needs_no_second_try(style: Style, parallel_undo: bool) -> None:
    plan = plan_of(TOUR, tries=3, parallel_undo=parallel_undo)
    simulated = ended(Simulated(plan, style, 1, Faults(refused=0.2)).run(SAGAS))
    assert simulated.happened["parked"] == 0
    assert max(run.ended_s or 0.0 for run in simulated.runs) < plan.steps[0].timeout_s


def test_one_seed_is_one_history() -> None:
    plan = plan_of(TOUR, tries=3)
    first, again = (Simulated(plan, "choreographed", 7, ROUGH).run(SAGAS) for _ in range(2))
    assert first.committed == again.committed
    assert first.happened == again.happened


def forgetful(now: Fence | None, direction: Direction, *, is_final: bool) -> tuple[Act, Fence]:
    """A fence that runs an action after its undo, and repeats what is done."""
    if direction == "do" and now in ("VOIDED", "DONE"):
        return "run the action", "DONE"
    return ACT_ON(now, direction, is_final=is_final)


@pytest.mark.parametrize(
    ("module", "guard", "instead"),
    [
        (fence, "act_on", forgetful),
        (protocol, "is_clear", lambda plan, saga, i: True),
        (protocol, "is_current", lambda step, timeout: step.tries > 0),
        (protocol, "is_decided_there", lambda saga, pivot: False),
    ],
)
def test_what_is_broken_is_noticed(
    module: ModuleType, guard: str, instead: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, guard, instead)
    plan = plan_of("a b<a c!<b d<c", tries=3)
    simulated = Simulated(plan, "orchestrated", 0, ROUGH, deadline_share=0.5).run(20)
    assert simulated.wrong
    assert all(wrong.startswith("seed 0, orchestrated, saga ") for wrong in simulated.wrong)
