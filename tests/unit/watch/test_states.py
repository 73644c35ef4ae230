"""The classifier: each state for what causes it, and never OK while something is wrong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.watch import partition_state, source_state
from tailrace.watch.partition_state import Sample
from tailrace.watch.states import STALE_INTERVALS, WINDOW, State, Verdict, continued, worst

NOW_S = 1_000_000.0
ALLOWED_LAG_S = 10.0


def window(applied: list[int], end: list[int], lag_s: list[float], **last: object) -> list[Sample]:
    """A sample a second, the newest now; `last` is laid over the newest."""
    count = len(applied)
    made = [
        Sample(NOW_S - count + 1 + i, applied[i], end[i], lag_s[i], has_worker=True)
        for i in range(count)
    ]
    return [*made[:-1], replace(made[-1], **last)]  # type: ignore[arg-type]


def steady(applied: int = 100, end: int = 100, lag_s: float = 0.0, **last: object) -> list[Sample]:
    return window([applied] * WINDOW, [end] * WINDOW, [lag_s] * WINDOW, **last)


def judged(samples: list[Sample], now_s: float = NOW_S) -> Verdict:
    return partition_state.judge(samples, now_s, interval_s=1, allowed_lag_s=ALLOWED_LAG_S)


N = list(range(WINDOW))


class TestPartition:
    @pytest.mark.parametrize(
        ("samples", "state"),
        [
            ([], State.UNKNOWN),
            (steady(), State.IDLE),
            (steady(unknown="Kafka does not answer"), State.UNKNOWN),
            (steady(lost="Kafka has deleted 3 records"), State.FAILED),
            (steady(held_because="the target refuses", attempts=3), State.BLOCKED),
            (steady(90, 100, 5.0, has_worker=False), State.STOPPED),
            (steady(90, 100, 5.0), State.STOPPED),
            (steady(90, 100, 5.0, is_snapshot=True), State.STOPPED),
            (window(N, [i + 1 for i in N], [0.2] * WINDOW), State.OK),
            (window([*N[:-1], 3], [50] * WINDOW, [1.0] * WINDOW), State.REWOUND),
            (window(N, [5000] * WINDOW, [20.0 + i for i in N]), State.STALLED),
            (window(N, [50 + 5 * i for i in N], [20.0 + i for i in N]), State.STALLED),
            # One large transaction: its changes are all as old as each other.
            (window(N, [500] * WINDOW, [20.0 + i for i in N]), State.CATCHING_UP),
            (window([20 * i for i in N], [500] * WINDOW, [90.0 - i for i in N]), State.CATCHING_UP),
            (window([20 * i for i in N], [500 + 21 * i for i in N], [90.0] * WINDOW), State.BEHIND),
            (window(N, [500] * WINDOW, [0.0] * WINDOW, is_snapshot=True), State.SNAPSHOT),
        ],
    )
    def test_each_state(self, samples: list[Sample], state: State) -> None:
        verdict = judged(samples)
        assert verdict.state is state, verdict
        assert verdict.reason
        assert bool(verdict.todo) == (state.is_wrong or state is State.PAUSED)

    def test_old_telemetry_is_none(self) -> None:
        assert judged(steady(), NOW_S + 3).state is State.IDLE
        assert judged(steady(), NOW_S + 3.1).state is State.UNKNOWN
        set_back = judged(steady(), NOW_S - 3600)
        assert set_back.state is State.UNKNOWN
        assert "since the clock was set" in set_back.reason

    def test_the_first_record_after_a_quiet_is_no_stop(self) -> None:
        assert judged(window([5] * WINDOW, [5] * 9 + [6], [0.0] * WINDOW)).state is State.OK

    def test_late_from_the_first_look_is_not_well(self) -> None:
        late = window([0], [10**6], [3600.0])
        assert judged(late).state is State.UNKNOWN

    def test_one_unknown_look_hides_nothing(self) -> None:
        made = window([5] * 20, [100] * 20, [3600.0 + i for i in range(20)])
        made[-3] = Sample(made[-3].at_s, unknown="Kafka did not answer")
        assert judged(made).state is State.STOPPED

    def test_recovered_from_a_rewind(self) -> None:
        applied = [8, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert judged(window(applied, [11] * WINDOW, [0.5] * WINDOW)).state is State.OK

    def test_the_time_left(self) -> None:
        verdict = judged(window([20 * i for i in N], [500] * WINDOW, [90.0 - i for i in N]))
        assert verdict.eta_s == pytest.approx((500 - 180) / 20)


samples = st.lists(
    st.builds(
        Sample,
        at_s=st.just(0.0),
        applied=st.none() | st.integers(0, 50),
        end=st.none() | st.integers(0, 60),
        lag_s=st.none() | st.floats(0, 100),
        is_snapshot=st.booleans(),
        has_worker=st.none() | st.booleans(),
        held_because=st.none() | st.just("x"),
        lost=st.none() | st.just("x"),
        unknown=st.none() | st.just("x"),
    ),
    max_size=2 * WINDOW,
).map(lambda made: [replace(s, at_s=NOW_S - len(made) + 1 + i) for i, s in enumerate(made)])


class TestProperties:
    @given(samples)
    def test_never_well_while_something_is_wrong(self, made: list[Sample]) -> None:
        verdict = judged(made)
        last = made[-1] if made else Sample(0)
        learned_nothing = all(sample.unknown for sample in made[-STALE_INTERVALS:])
        if learned_nothing or last.lost or last.held_because:
            assert verdict.state.is_wrong
        if made and verdict.state is State.IDLE:
            assert last.applied is None or (last.end or 0) <= last.applied
        assert verdict.eta_s is None or verdict.eta_s >= 0

    @given(samples, st.floats(3.1, 1e6))
    def test_silence_is_never_well(self, made: list[Sample], age_s: float) -> None:
        assert judged(made, NOW_S + age_s).state is State.UNKNOWN

    @given(st.lists(st.sampled_from(State), min_size=1))
    def test_the_worst_stands_for_all(self, found: list[State]) -> None:
        shown = worst(Verdict(state, "x") for state in found).state
        assert shown in found
        assert shown.is_wrong == any(state.is_wrong for state in found)
        if State.OK in found:
            assert shown is not State.IDLE

    def test_nothing_is_not_well(self) -> None:
        assert worst([]).state is State.UNKNOWN


SOURCE = source_state.Sample(
    NOW_S,
    "RUNNING",
    ("RUNNING",),
    has_slot=True,
    wal_status="reserved",
    is_read=True,
    overdue_s=0.0,
)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, State.OK),
        ({"tasks": ("FAILED",), "trace": "no route"}, State.FAILED),
        ({"tasks": ("RUNNING", "FAILED")}, State.FAILED),
        ({"connector": "FAILED"}, State.FAILED),
        ({"tasks": ()}, State.STOPPED),
        ({"connector": "STOPPED", "tasks": ()}, State.STOPPED),
        ({"connector": "PAUSED", "tasks": ("PAUSED",), "is_read": False}, State.PAUSED),
        ({"has_slot": False}, State.FAILED),
        ({"wal_status": "lost"}, State.FAILED),
        ({"is_read": False}, State.STOPPED),
        ({"unknown": "Connect does not answer"}, State.UNKNOWN),
        ({"overdue_s": 12.0}, State.STALLED),
        ({"is_snapshot": True, "overdue_s": None, "has_beaten": False}, State.SNAPSHOT),
        ({"overdue_s": None, "has_beaten": False}, State.UNKNOWN),
        ({"connector": None, "tasks": (), "has_connector": False}, State.FAILED),
        ({"tasks": ("UNASSIGNED",)}, State.STOPPED),
    ],
)
def test_the_source(change: dict[str, object], state: State) -> None:
    sample = replace(SOURCE, **change)  # type: ignore[arg-type]
    assert source_state.judge([sample], NOW_S, interval_s=1).state is state
    assert source_state.judge([sample], NOW_S + 3.1, interval_s=1).state is State.UNKNOWN


@pytest.mark.parametrize("other", [{"tasks": ("FAILED",)}, {"connector": "STOPPED", "tasks": ()}])
def test_a_slot_that_is_gone_is_the_cause_of_the_rest(other: dict[str, object]) -> None:
    sample = replace(SOURCE, has_slot=False, **other)  # type: ignore[arg-type]
    verdict = source_state.judge([sample], NOW_S, interval_s=1)
    assert "no replication slot" in verdict.reason
    assert "resume" not in verdict.todo


def test_since_when() -> None:
    first = continued(Verdict(State.OK, "a"), None, 5.0)
    same = continued(Verdict(State.OK, "b"), first, 9.0)
    other = continued(Verdict(State.FAILED, "c"), same, 11.0)
    assert (first.since_s, same.since_s, other.since_s) == (5.0, 5.0, 11.0)


class TestOneLook:
    """What one look says is no news where the next may say otherwise."""

    def test_one_that_learned_nothing_hides_nothing(self) -> None:
        unknown = Sample(NOW_S, has_worker=True, unknown="Kafka did not hand out t[0]")
        samples = steady(90, 100, 0.5)[1:]
        assert judged([*samples, unknown]).state is judged(samples).state
        assert partition_state.newest([*samples, unknown]).end == 100
        assert judged([*samples, *[unknown] * 3]).state is State.UNKNOWN

    def test_workers_that_share_anew_have_none_for_a_moment(self) -> None:
        free = [
            replace(sample, has_worker=False) for sample in window(N, [50] * WINDOW, [1.0] * WINDOW)
        ]
        owned = [replace(sample, has_worker=True) for sample in free]
        assert judged([*owned[:-4], *free[-4:]]).state is State.OK
        assert judged([*owned[:-5], *free[-5:]]).reason == "no worker reads it"
