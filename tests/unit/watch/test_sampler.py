"""How far apart looks are."""

from itertools import accumulate, repeat

from tailrace.watch.sampler import paced
from tailrace.watch.states import STALE_INTERVALS


def test_the_interval_goes_where_it_should() -> None:
    assert paced(1.0, 1.0) == 1.0
    assert list(accumulate(repeat(10.0, 7), paced, initial=1.0))[-1] == 10.0
    assert list(accumulate(repeat(1.0, 12), paced, initial=10.0))[-1] == 1.0


def test_one_dear_look_is_no_trend() -> None:
    assert paced(1.0, 100.0) < 2.0


def test_what_was_asked_at_the_old_pace_is_not_old_at_the_new_one() -> None:
    """A probe asks again only when its old interval is over, which is as old as an answer gets."""
    interval_s, passed_s = 30.0, 0.0
    while passed_s < 30.0:
        interval_s = paced(interval_s, 1.0)
        passed_s += interval_s
        assert min(passed_s, 30.0) < STALE_INTERVALS * interval_s
