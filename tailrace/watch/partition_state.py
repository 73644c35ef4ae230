"""
The state of one partition of one sink, judged over a window of samples. Pure.

The rules are those of Burrow (LinkedIn's lag checker) for a consumer, with guards against its known
mistakes. No threshold is needed to be right: `allowed_lag_s` only says from when slowness is worth
a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tailrace.watch.states import STALE_INTERVALS, WINDOW, State, Verdict, is_news, silence, unknown

TOO_FAR_S = 3600.0  # at a pace that takes longer than this, it might as well stand still
NO_WORKER_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One look at one partition of one sink. None: could not be learned, and `unknown` says why.

    `applied` is the sink's next offset, `end` the log's.
    `held_because` is what its worker waits for, `attempts` how often it has tried.
    """

    at_s: float
    applied: int | None = None
    end: int | None = None
    lag_s: float | None = None
    is_snapshot: bool = False
    has_worker: bool | None = None
    held_because: str | None = None
    attempts: int = 0
    lost: str | None = None
    unknown: str | None = None


def judge(
    window: Sequence[Sample], now_s: float, *, interval_s: float, allowed_lag_s: float
) -> Verdict:
    """The state of one partition of one sink. The window is in order of time, the newest last."""
    last = window[-1] if window else None
    if last is None or not is_news(last.at_s, now_s, interval_s):
        return unknown(silence(last.at_s if last else None, now_s))
    known = [s for s in window if s.applied is not None and s.end is not None][-WINDOW:]
    late = newest(window)
    if verdict := _lost(last) or _blocked(last) or _no_worker(window, late) or _not_known(late):
        return verdict
    for judge in (_rewound, _stopped, _stalled, _snapshot):
        if verdict := judge(known, allowed_lag_s):
            return verdict
    return _pace(known, allowed_lag_s)


def newest(window: Sequence[Sample]) -> Sample:
    """The last complete look of late, if there is one: one that learned nothing hides no figure."""
    late = islice(reversed(window), STALE_INTERVALS)
    return next((sample for sample in late if sample.end is not None), window[-1])


def _lost(last: Sample) -> Verdict | None:
    if last.lost is None:
        return None
    return Verdict(State.FAILED, last.lost, "`tailrace connector restart` with a new snapshot")


def _blocked(last: Sample) -> Verdict | None:
    if last.held_because is None:
        return None
    return Verdict(
        State.BLOCKED,
        f"{last.held_because} (attempt {last.attempts})",
        "mend what the reason names; nothing is lost meanwhile",
    )


def _no_worker(window: Sequence[Sample], late: Sample) -> Verdict | None:
    """For some looks in a row: workers that share partitions anew have none for a moment."""
    looks = [sample.has_worker for sample in islice(reversed(window), NO_WORKER_LOOKS)]
    if looks == [False] * NO_WORKER_LOOKS and _behind(late):
        return Verdict(State.STOPPED, "no worker reads it", "start one: `tailrace run`")
    return None


def _not_known(late: Sample) -> Verdict | None:
    """One look that learned nothing is no news; several are."""
    return None if late.unknown is None else unknown(late.unknown)


def _rewound(known: Sequence[Sample], _: float) -> Verdict | None:
    highest, when = -1, None
    for sample in known:
        assert sample.applied is not None
        if sample.applied < highest:
            when = sample
        highest = max(highest, sample.applied)
    if when is None or (known[-1].applied or 0) >= highest:
        return None
    back = highest - (known[-1].applied or 0)
    return Verdict(
        State.REWOUND,
        f"its offset went back, and is {back:,} records short of where it was",
        "if nobody meant it, see who changed tailrace.offsets; repeats do no harm",
    )


def _stopped(known: Sequence[Sample], _: float) -> Verdict | None:
    """The sink does not move, with work before it, for the whole window."""
    if len(known) < WINDOW or _behind(known[-1]) == 0:
        return None
    moved = {sample.applied for sample in known}
    # One record after a long quiet is no stop: work must have been there all the time.
    if len(moved) > 1 or any(_behind(sample) == 0 for sample in known):
        return None
    span_s = known[-1].at_s - known[0].at_s
    return Verdict(
        State.STOPPED,
        f"nothing was applied for {span_s:.0f} s, with {_behind(known[-1]):,} records waiting",
        "look at the worker: `tailrace doctor`, its log",
    )


def _stalled(known: Sequence[Sample], allowed_lag_s: float) -> Verdict | None:
    """
    It moves, but so little that the oldest change keeps aging as the clock runs. That alone is no
    proof: all changes of a large transaction are equally old, however quickly they are applied.
    """
    if len(known) < WINDOW or any((s.lag_s or 0.0) <= allowed_lag_s for s in known):
        return None
    first, last = known[0], known[-1]
    moved = (last.applied or 0) - (first.applied or 0)
    aged_s = (last.lag_s or 0.0) - (first.lag_s or 0.0)
    eta_s = _eta_s(known)
    is_hopeful = eta_s is not None and eta_s <= TOO_FAR_S
    if is_hopeful or (moved and aged_s < 0.9 * (last.at_s - first.at_s)):
        return None
    return Verdict(
        State.STALLED,
        f"{moved:,} records in {last.at_s - first.at_s:.0f} s, and the oldest change keeps aging",
        "see which stage is slow, and what the target waits for",
    )


def _snapshot(known: Sequence[Sample], _: float) -> Verdict | None:
    if not known or not known[-1].is_snapshot:
        return None
    return Verdict(
        State.SNAPSHOT,
        f"{_behind(known[-1]):,} rows of a snapshot are still to be applied",
        eta_s=_eta_s(known),
    )


def _pace(known: Sequence[Sample], allowed_lag_s: float) -> Verdict:
    if not known:
        return unknown("no sample of it is complete yet")
    behind = _behind(known[-1])
    late = len(known) >= WINDOW and all((s.lag_s or 0.0) > allowed_lag_s for s in known)
    if late:
        eta_s = _eta_s(known)
        if eta_s is None:
            return Verdict(
                State.BEHIND,
                f"{known[-1].lag_s:,.1f} s behind, and it does not get less",
                "it needs more workers, or a faster target; see which stage is slow",
            )
        return Verdict(
            State.CATCHING_UP, f"{known[-1].lag_s:,.1f} s behind, and getting less", eta_s=eta_s
        )
    if len(known) < WINDOW and (known[-1].lag_s or 0.0) > allowed_lag_s:
        return unknown(f"{known[-1].lag_s:,.1f} s behind, seen too briefly to say where it goes")
    if behind == 0 and known[0].end == known[-1].end:
        return Verdict(State.IDLE, "everything is applied, and nothing new came")
    return Verdict(State.OK, "changes are applied as they come")


def _behind(sample: Sample) -> int:
    return max(0, (sample.end or 0) - (sample.applied or 0))


def _eta_s(known: Sequence[Sample]) -> float | None:
    """Until nothing is left at the pace of the window; None if it does not get less."""
    first, last = known[0], known[-1]
    span_s = last.at_s - first.at_s
    shrunk = _behind(first) - _behind(last)
    if span_s <= 0 or shrunk <= 0:
        return None
    return _behind(last) * span_s / shrunk
