"""Every state of many sagas, in both styles: nothing wrong, and an end always in reach."""

import sys
from typing import get_args

import pytest

from sagas.explorer import Explored, explore
from sagas.protocol import GiveUp, StepStatus, Style
from tests.sagaplans import TOUR, plan_of

STEP_STATUSES = frozenset(get_args(StepStatus))
SAGA_STATUSES = {
    "RUNNING",
    "COMPLETED",
    "PARKED",
    "COMPENSATING",
    "COMPENSATED",
    "COMPENSATION_PARKED",
}
PORTFOLIO = {
    "pivot alone": "a!",
    "no pivot": "a b<a",
    "pivot last": "a b!<a",
    "pivot in the middle": "a b!<a c<b d<c",
    "optional beside": "a b? c!<a,b",
    "optional that others follow": "a b?<a c!<b",
    "optional last": "a b<a c?<b",
    "diamond": "a b<a c<a d!<b,c",
    "independent": "a b",
    "listed backwards": "c!<a,b b<a a",
}
LARGE = {"diamond", "optional beside", "listed backwards"}
"""Too many states for a short test; the other plans have their parts."""
BOTH: tuple[Style, ...] = ("orchestrated", "choreographed")
COUNTED: list[int] = []


def clean(found: Explored, what: str) -> Explored:
    COUNTED.append(found.states)
    assert found.wrong == {}, what
    assert found.hopeless == 0, (what, found.hopeless_way)
    return found


@pytest.mark.parametrize("parallel_undo", [False, True])
def test_the_tour_choreographed(parallel_undo: bool) -> None:
    found = clean(explore(plan_of(TOUR, parallel_undo=parallel_undo), "choreographed"), TOUR)
    assert found.statuses == SAGA_STATUSES
    assert found.step_statuses == STEP_STATUSES - ({"UNKNOWN"} if parallel_undo else set())
    assert found.states > 150_000


@pytest.mark.parametrize("parallel_undo", [False, True])
def test_the_tour_orchestrated(parallel_undo: bool) -> None:
    plan = plan_of(TOUR, tries=2, parallel_undo=parallel_undo)
    found = clean(explore(plan, "orchestrated"), TOUR)
    assert found.statuses == SAGA_STATUSES
    # What is under way has nothing behind it here, so its undo is sent at once.
    assert found.step_statuses == STEP_STATUSES - {"UNKNOWN"}
    assert found.states > 5_000


@pytest.mark.parametrize("parallel_undo", [False, True])
@pytest.mark.parametrize("name", PORTFOLIO)
def test_a_portfolio(name: str, parallel_undo: bool) -> None:
    for style in BOTH:
        plan = plan_of(PORTFOLIO[name], parallel_undo=parallel_undo)
        found = clean(explore(plan, style, 100_000), f"{name}, {style}")
        assert found.statuses >= {"COMPLETED", "COMPENSATED", "PARKED"}


@pytest.mark.parametrize("name", [name for name in PORTFOLIO if name not in LARGE])
def test_an_end_is_in_reach_when_all_messages_are_lost(name: str) -> None:
    for style in BOTH:
        found = explore(plan_of(PORTFOLIO[name]), style, 150_000, lossy=True)
        clean(found, f"{name}, {style}, lossy")


@pytest.mark.parametrize("text", [*PORTFOLIO.values(), TOUR])
def test_a_choreography_ends_by_itself(text: str) -> None:
    """Nothing waits for a timer as long as nothing is lost."""
    found = clean(explore(plan_of(text), "choreographed", inputs=()), text)
    assert found.statuses >= {"COMPLETED", "COMPENSATED"}
    assert not found.statuses & {"PARKED", "COMPENSATION_PARKED"}


@pytest.mark.parametrize("text", [text for text in (*PORTFOLIO.values(), TOUR) if "!" in text])
def test_a_deadline_needs_no_timer_besides(text: str) -> None:
    """Its pivot is voided, and the participants undo the rest by themselves."""
    clean(explore(plan_of(text), "choreographed", inputs=(GiveUp(),)), text)


def test_commands_are_tried_again() -> None:
    for style in BOTH:
        for text in ("a", "a b!<a", "a? b<a"):
            clean(explore(plan_of(text, tries=3), style, 100_000), text)


def test_too_many_states_are_refused() -> None:
    with pytest.raises(MemoryError, match="more than 50 states"):
        explore(plan_of("a b<a"), "orchestrated", 50)


def test_what_was_visited(capsys: pytest.CaptureFixture[str]) -> None:
    """Last in the file: what the tests above have visited together."""
    states = sum(COUNTED)
    with capsys.disabled():
        sys.stdout.write(f"\nsagas: {states:,} states, none wrong, none without an end\n")
    if len(COUNTED) < 80:
        pytest.skip("only together with the rest of the file")
    assert states >= 500_000
