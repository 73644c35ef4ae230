"""
One word for how a stream of changes is, judged over a window of samples. Pure.

The rules are those of Burrow (LinkedIn's lag checker) for a consumer, with two guards against its
known mistakes, and rules of our own for the way from the database's log into Kafka. No threshold
is needed to be right; `allowed_lag_s` only says from when slowness is worth a word.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

WINDOW = 10  # samples that a verdict rests on
STALE_INTERVALS = 3  # telemetry older than this is no telemetry


class State(StrEnum):
    """Worst first: this is also the order in which pages and tables sort."""

    FAILED = "FAILED"
    BLOCKED = "BLOCKED"
    REWOUND = "REWOUND"
    STOPPED = "STOPPED"
    STALLED = "STALLED"
    UNKNOWN = "UNKNOWN"
    BEHIND = "BEHIND"
    DEGRADED = "DEGRADED"
    PAUSED = "PAUSED"
    SNAPSHOT = "SNAPSHOT"
    CATCHING_UP = "CATCHING UP"
    IDLE = "IDLE"
    OK = "OK"

    @property
    def badness(self) -> int:
        """Higher is worse; OK is 0."""
        return len(State) - 1 - list(State).index(self)

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should look."""
        return self.badness >= State.DEGRADED.badness


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    `reason` says what was seen, `todo` the next step, empty if there is none. `since_s` is seconds
    since 1970, on the sampler's clock; `eta_s` how long until it has caught up at this pace.
    """

    state: State
    reason: str
    todo: str = ""
    since_s: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class PartitionSample:
    """
    One look at one partition of one sink. None: could not be learned, and `unknown` says why.

    `applied` is the sink's next offset, `end` the log's; `applied_at_s` when the sink last moved.
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


@dataclass(frozen=True, slots=True)
class SourceSample:
    """
    One look at the way from the database's log into Kafka.

    `connector` and `tasks` are Connect's words (RUNNING, PAUSED, FAILED …), `trace` the first line
    of why a task failed. `overdue_s` is how late the next heartbeat is in Kafka. `confirmed` and
    `position` are LSNs: what the slot may forget, and the end of the log.
    """

    at_s: float
    connector: str | None = None
    tasks: tuple[str, ...] = ()
    trace: str = ""
    has_slot: bool | None = None
    wal_status: str | None = None
    is_read: bool | None = None
    confirmed: int | None = None
    position: int | None = None
    overdue_s: float | None = None
    has_beaten: bool = True
    is_snapshot: bool = False
    unknown: str | None = None


def partition(
    window: Sequence[PartitionSample], now_s: float, *, interval_s: float, allowed_lag_s: float
) -> Verdict:
    """The state of one partition of one sink. The window is in order of time, the newest last."""
    last = window[-1] if window else None
    if last is None or now_s - last.at_s > STALE_INTERVALS * interval_s:
        return _unknown("nothing has been heard" if last is None else _silence(now_s - last.at_s))
    known = [s for s in window if s.applied is not None and s.end is not None]
    for rule in (_lost, _blocked, _no_worker, _not_known):
        if verdict := rule(last):
            return verdict
    for judge in (_rewound, _stopped, _stalled, _snapshot):
        if verdict := judge(known, allowed_lag_s):
            return verdict
    return _pace(known, allowed_lag_s)


def source(window: Sequence[SourceSample], now_s: float, *, interval_s: float) -> Verdict:
    """The state of slot, connector and the way into Kafka."""
    last = window[-1] if window else None
    if last is None or now_s - last.at_s > STALE_INTERVALS * interval_s:
        return _unknown("nothing has been heard" if last is None else _silence(now_s - last.at_s))
    rules: tuple[Callable[[SourceSample], Verdict | None], ...] = (
        _task_failed,
        _slot_lost,
        _connector_paused,
        _source_unknown,
        _unread,
        _first_snapshot,
        _no_beat,
    )
    for rule in rules:
        if verdict := rule(last):
            return verdict
    return Verdict(State.OK, "heartbeats of the source arrive in Kafka")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The one to show for all of them; IDLE only if all are. UNKNOWN of nothing."""
    found = sorted(verdicts, key=lambda verdict: (-verdict.state.badness, verdict.since_s))
    if not found:
        return _unknown("there is nothing to judge")
    first = found[0]
    if first.state is State.IDLE and any(v.state is State.OK for v in found):
        return next(v for v in found if v.state is State.OK)
    return first


def continued(verdict: Verdict, before: Verdict | None, now_s: float) -> Verdict:
    """With the time since when it has been so."""
    same = before is not None and before.state is verdict.state
    return replace(verdict, since_s=before.since_s if same and before else now_s)


def _unknown(why: str) -> Verdict:
    return Verdict(State.UNKNOWN, why, "see what the reason names; `tailrace doctor` checks it all")


def _silence(age_s: float) -> str:
    return f"nothing has been heard for {age_s:.0f} s"


def _lost(last: PartitionSample) -> Verdict | None:
    if last.lost is None:
        return None
    return Verdict(State.FAILED, last.lost, "`tailrace connector restart` with a new snapshot")


def _blocked(last: PartitionSample) -> Verdict | None:
    if last.held_because is None:
        return None
    return Verdict(
        State.BLOCKED,
        f"{last.held_because} (attempt {last.attempts})",
        "mend what the reason names; nothing is lost meanwhile",
    )


def _no_worker(last: PartitionSample) -> Verdict | None:
    behind = last.applied is not None and last.end is not None and last.end > last.applied
    if last.has_worker is False and behind:
        return Verdict(State.STOPPED, "no worker reads it", "start one: `tailrace run`")
    return None


def _not_known(last: PartitionSample) -> Verdict | None:
    return None if last.unknown is None else _unknown(last.unknown)


def _rewound(known: Sequence[PartitionSample], _: float) -> Verdict | None:
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


def _stopped(known: Sequence[PartitionSample], _: float) -> Verdict | None:
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


def _stalled(known: Sequence[PartitionSample], allowed_lag_s: float) -> Verdict | None:
    """It moves, but so little that the same oldest change keeps aging as the clock runs."""
    if len(known) < WINDOW or any((s.lag_s or 0.0) <= allowed_lag_s for s in known):
        return None
    first, last = known[0], known[-1]
    moved = (last.applied or 0) - (first.applied or 0)
    aged_s = (last.lag_s or 0.0) - (first.lag_s or 0.0)
    if moved and aged_s < 0.9 * (last.at_s - first.at_s):
        return None
    return Verdict(
        State.STALLED,
        f"{moved:,} records in {last.at_s - first.at_s:.0f} s, and the oldest change keeps aging",
        "see which stage is slow, and what the target waits for",
    )


def _snapshot(known: Sequence[PartitionSample], _: float) -> Verdict | None:
    if not known or not known[-1].is_snapshot:
        return None
    return Verdict(
        State.SNAPSHOT,
        f"{_behind(known[-1]):,} rows of a snapshot are still to be applied",
        eta_s=_eta_s(known),
    )


def _pace(known: Sequence[PartitionSample], allowed_lag_s: float) -> Verdict:
    if not known:
        return _unknown("no sample of it is complete yet")
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
    if behind == 0 and known[0].end == known[-1].end:
        return Verdict(State.IDLE, "everything is applied, and nothing new came")
    return Verdict(State.OK, "changes are applied as they come")


def _behind(sample: PartitionSample) -> int:
    return max(0, (sample.end or 0) - (sample.applied or 0))


def _eta_s(known: Sequence[PartitionSample]) -> float | None:
    """Until nothing is left at the pace of the window; None if it does not get less."""
    first, last = known[0], known[-1]
    span_s = last.at_s - first.at_s
    shrunk = _behind(first) - _behind(last)
    if span_s <= 0 or shrunk <= 0:
        return None
    return _behind(last) * span_s / shrunk


def _task_failed(last: SourceSample) -> Verdict | None:
    failed = last.tasks.count("FAILED")
    if last.connector == "FAILED" or failed:
        what = f"{failed} of {len(last.tasks)} task(s) failed" if failed else "the connector failed"
        return Verdict(
            State.FAILED,
            f"{what}: {last.trace or 'Connect gives no reason'}",
            "mend the reason, then `tailrace connector restart`",
        )
    if last.connector in ("STOPPED", "UNASSIGNED") or (
        last.connector == "RUNNING" and not last.tasks
    ):
        return Verdict(
            State.STOPPED,
            f"the connector is {last.connector} and has no task",
            "`tailrace connector resume`",
        )
    return None


def _slot_lost(last: SourceSample) -> Verdict | None:
    if last.has_slot is False:
        return Verdict(
            State.FAILED,
            "the source has no replication slot, so changes are not kept",
            "`tailrace connector status` says how to begin anew",
        )
    if last.wal_status == "lost":
        return Verdict(
            State.FAILED,
            "the slot has lost the log that it needs (max_slot_wal_keep_size)",
            "a new snapshot: `tailrace connector status` says how",
        )
    return None


def _connector_paused(last: SourceSample) -> Verdict | None:
    if last.connector != "PAUSED":
        return None
    return Verdict(
        State.PAUSED,
        "the connector is paused; the source keeps its log meanwhile",
        "`tailrace connector resume`",
    )


def _source_unknown(last: SourceSample) -> Verdict | None:
    return None if last.unknown is None else _unknown(last.unknown)


def _unread(last: SourceSample) -> Verdict | None:
    if last.is_read is not False:
        return None
    return Verdict(
        State.STOPPED, "nobody reads the replication slot", "`tailrace connector status`"
    )


def _first_snapshot(last: SourceSample) -> Verdict | None:
    if not last.is_snapshot:
        return None
    return Verdict(State.SNAPSHOT, "the connector reads the tables for the first time")


def _no_beat(last: SourceSample) -> Verdict | None:
    if last.overdue_s is None or last.overdue_s <= 0:
        return None
    return Verdict(
        State.STALLED,
        f"the next heartbeat is {last.overdue_s:.0f} s overdue in Kafka",
        "`tailrace connector status`; a long transaction at the source also holds it up",
    )
