"""A clock that is wrong is found, however coarse its answers; a right one is left in peace."""

import math

from hypothesis import given
from hypothesis import strategies as st

from consumer.metrics import STAGES, Status, Waterfall
from tailrace.watch.skew import Clock, on_our_clock, worth_showing
from tailrace.watch.waterfalls import corrected

STAGES_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
ways = st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 0.2)), min_size=1, max_size=80)


def answered(clock: Clock, ahead_s: float, ways: list[tuple[float, float]], tick_s: float) -> None:
    for number, (there_s, back_s) in enumerate(ways):
        asked_at_s = 1000 + number * 1.07
        shown_s = asked_at_s + there_s + ahead_s
        shown_s = math.floor(shown_s / tick_s) * tick_s if tick_s else shown_s
        clock.heard(asked_at_s, asked_at_s + there_s + back_s, shown_s, tick_s)


@given(ways, st.floats(-10, 10), st.sampled_from([0.0, 1.0]))
def test_the_truth_lies_within_the_bounds(
    ways: list[tuple[float, float]], ahead_s: float, tick_s: float
) -> None:
    clock = Clock("Connect")
    answered(clock, ahead_s, ways, tick_s)
    skew = clock.skew
    assert skew is not None
    assert abs(skew.ahead_s - ahead_s) <= skew.within_s + 1e-6


@given(ways, st.floats(-0.2, 0.2))
def test_a_right_clock_is_left_in_peace(ways: list[tuple[float, float]], ahead_s: float) -> None:
    clock = Clock("Connect")
    answered(clock, ahead_s, ways, 1.0)
    assert not worth_showing(clock.skew)


def test_two_seconds_are_seen_through_whole_seconds() -> None:
    clock = Clock("Connect")
    answered(clock, 2.0, [(0.001, 0.001)] * 20, 1.0)
    assert worth_showing(clock.skew)


def test_a_clock_that_was_set() -> None:
    clock = Clock("source")
    answered(clock, 0.0, [(0.001, 0.001)] * 5, 0.0)
    answered(clock, 7.0, [(0.001, 0.001)], 0.0)
    skew = clock.skew
    assert skew is not None
    assert abs(skew.ahead_s - 7.0) < 0.01


def test_nothing_is_known_before_the_first_answer() -> None:
    assert Clock("source").skew is None
    assert not worth_showing(None)


@given(st.floats(-10, 10))
def test_a_worker_with_a_wrong_clock_is_heard_in_our_times(ahead_s: float) -> None:
    said = Waterfall((*STAGES_S[:2], STAGES_S[2] + ahead_s, *STAGES_S[3:]), 7)
    status = Status("mirror", started_at_s=50 + ahead_s, ticked_at_s=90 + ahead_s, waterfall=said)
    heard = on_our_clock(status, ahead_s)
    assert abs(heard.ticked_at_s - 90) < 1e-9
    assert abs(heard.started_at_s - 50) < 1e-9
    assert heard.waterfall is not None
    stages = corrected(heard.waterfall, {}).stages
    assert [stage.name for stage in stages] == list(STAGES)
    assert all(abs(s.seconds - true) < 1e-9 for s, true in zip(stages, STAGES_S, strict=True))


def test_who_has_not_ticked_yet_has_not_on_our_clock_either() -> None:
    assert on_our_clock(Status("mirror"), 2.0).ticked_at_s == 0.0
