"""Answers of a sink's database, Kafka and the workers -> the view of the sink. Pure."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from consumer.event import TopicPartition
from consumer.metrics import Status
from supervision.waiting import Waiting
from tailrace.health import STALE_AFTER_S
from tailrace.lag import Log, lost
from tailrace.watch import partition_state, states, view
from tailrace.watch.answers import (
    Answers,
    Memory,
    Offsets,
    beat_overdue_s,
    why_away,
    wrong_clocks,
)
from tailrace.watch.answers import window as new_window
from tailrace.watch.partition_state import Sample
from tailrace.watch.probes import Seen, WorkersAnswer
from tailrace.watch.skew import clock_of, on_our_clock
from tailrace.watch.states import State, Verdict
from tailrace.watch.waterfalls import corrected, fullest

HOT_SHARE = 0.6  # of a sink's records behind, in one partition of several


def look(answers: Answers, memory: Memory, name: str, now_s: float) -> view.Sink:
    """The sink of that name, its partitions and its workers."""
    told = _told(answers, name)
    statuses = [status for _, status in told]
    parts = tuple(_partitions(answers, memory, name, statuses, now_s))
    verdicts = [part.verdict for part in parts] or [states.unknown(_why_none(answers, name))]
    parked = answers.kafka.answer.parked.get(name) if isinstance(answers.kafka, Seen) else None
    if parked is not None:
        memory.counted.add(name)
    verdicts += _of_workers(answers, name, statuses, now_s)
    verdicts += _of_parked(parked, name in memory.counted)
    windows = [w for (sink, _), w in memory.partitions.items() if sink == name]
    arrived, applied = _rates(windows)
    ended = [status.ended for status in statuses]
    etas = [part.verdict.eta_s for part in parts if part.verdict.eta_s is not None]
    raw = fullest(status.waterfall for status in statuses)
    ahead_s = {skew.clock: skew.ahead_s for skew in wrong_clocks(answers)}
    behind = [part.behind_records for part in parts]
    return view.Sink(
        name=name,
        verdict=memory.since(name, states.worst(verdicts), now_s),
        partitions=parts,
        workers=tuple(_worker_view(*each) for each in told),
        behind_records=None if None in behind or not behind else sum(b or 0 for b in behind),
        lag_s=_lag_s(answers, parts),
        eta_s=max(etas, default=None),
        arrived_per_s=arrived,
        applied_per_s=applied,
        received=sum(status.received for status in statuses),
        written=sum(each["written"] for each in ended),
        duplicates=sum(each["duplicate"] + each["stale"] for each in ended),
        parked=parked,
        retries=sum(status.held for status in statuses),
        waterfall=None if raw is None else corrected(raw, ahead_s),
        waiting=answers.waiting.get(name, Waiting()),
    )


def _why_none(answers: Answers, name: str) -> str:
    """Why no partition of the sink is known."""
    if why := answers.sinks_away.get(name) or why_away(answers.kafka):
        return why
    return "none of its topics is in Kafka yet" if answers.kafka else states.silence(None, 0.0)


def _lag_s(answers: Answers, parts: Sequence[view.Partition]) -> float | None:
    """Nothing waiting in Kafka is no lag only where heartbeats tell that nothing waits before."""
    lags = [part.lag_s for part in parts if part.lag_s is not None]
    if not lags or len(lags) < len(parts):
        return None
    return max(lags) if max(lags) or beat_overdue_s(answers) == 0 else None


def _partitions(
    answers: Answers, memory: Memory, sink: str, statuses: Sequence[Status], now_s: float
) -> Iterator[view.Partition]:
    found = answers.kafka
    logs: Mapping[TopicPartition, Log] = {}
    applied: Offsets | None = None
    if isinstance(found, Seen):
        applied = found.answer.applied.get(sink)
        logs = found.answer.kafka.logs.get(sink, {})
        # What was known stays in sight, judged as old, when Kafka or the sink goes away.
        present = {at for at in (*logs, *(applied or {})) if at.topic in answers.topics[sink]}
        owners = {
            TopicPartition(p.topic, p.partition): status
            for status in statuses
            for p in status.places
        }
        has_workers = bool(statuses)
        for at in sorted(present):
            _remember(memory, answers, sink, at, owners.get(at), has_workers=has_workers)
        if applied is not None:
            for gone in [key for key in memory.partitions if key[0] == sink]:
                if gone[1] not in present:
                    del memory.partitions[gone]
    known = sorted(at for name, at in memory.partitions if name == sink)
    shown = {at: partition_state.newest(memory.partitions[sink, at]) for at in known}
    behind = {at: _behind(sample) or 0 for at, sample in shown.items()}
    for at in known:
        window, last = memory.partitions[sink, at], shown[at]
        away = answers.sinks_away.get(sink) or why_away(answers.kafka)
        verdict = partition_state.judge(
            window, now_s, interval_s=answers.interval_s, allowed_lag_s=answers.allowed_lag_s
        )
        if verdict.state is State.UNKNOWN and away:
            verdict = states.unknown(away)
        yield view.Partition(
            topic=at.topic,
            partition=at.partition,
            verdict=memory.since((sink, at), verdict, now_s),
            applied=last.applied,
            end=last.end,
            behind_records=None if verdict.state is State.UNKNOWN else _behind(last),
            lag_s=None if verdict.state is State.UNKNOWN else last.lag_s,
            is_hot=len(known) > 1 and behind[at] > HOT_SHARE * max(1, sum(behind.values())),
            unknown=last.unknown or away,
        )


def _remember(
    memory: Memory,
    answers: Answers,
    sink: str,
    at: TopicPartition,
    owner: Status | None,
    *,
    has_workers: bool,
) -> None:
    """A sample of each look at Kafka, once."""
    assert isinstance(answers.kafka, Seen)
    window = memory.partitions.setdefault((sink, at), new_window())
    if window and window[-1].at_s == answers.kafka.answered_at_s:
        return
    applied, kafka = answers.kafka.answer.applied.get(sink), answers.kafka.answer.kafka
    log = kafka.logs.get(sink, {}).get(at)
    sample = Sample(
        answers.kafka.answered_at_s,
        has_worker=None if not has_workers else owner is not None and owner.pid != 0,
        held_because=owner.held_because if owner else None,
        attempts=owner.held if owner else 0,
    )
    if applied is None:
        why = answers.sinks_away.get(sink) or f"sink {sink} has not been heard yet"
        window.append(replace(sample, unknown=why))
        return
    next_offset = applied.get(at, 0)
    window.append(_measured(sample, sink, at, next_offset, log, answers))


def _measured(
    sample: Sample,
    sink: str,
    at: TopicPartition,
    next_offset: int,
    log: Log | None,
    answers: Answers,
) -> Sample:
    why = lost(sink, at, next_offset, log)
    if log is None or why:
        return replace(sample, lost=why)
    head, lag_s = log.head, 0.0 if log.end <= next_offset else None
    if head is not None and not head.is_snapshot:
        source = answers.source
        ahead_s = source.answer.ahead_s if isinstance(source, Seen) else 0.0
        lag_s = max(0.0, sample.at_s + ahead_s - head.committed_at_us / 1e6)
    if head is None and log.end > next_offset:
        return replace(sample, unknown=f"Kafka did not hand out {at.topic}[{at.partition}]")
    is_snapshot = head is not None and head.is_snapshot
    return replace(sample, applied=next_offset, end=log.end, lag_s=lag_s, is_snapshot=is_snapshot)


def _of_workers(
    answers: Answers, sink: str, statuses: Sequence[Status], now_s: float
) -> Iterator[Verdict]:
    """What the workers themselves say, and what their silence does."""
    away = [each.away for each in _workers(answers) if each.away]
    start = "start it: `tailrace run`; or correct health.port or dashboard.workers"
    yield from (Verdict(State.UNKNOWN, why, start) for why in away)
    if not statuses and not away:
        yield states.unknown(why_away(answers.workers) or f"no worker of {sink} answers")
    said_at_s = answers.workers.answered_at_s if isinstance(answers.workers, Seen) else now_s
    if not states.is_news(said_at_s, now_s, answers.interval_s):
        yield states.unknown(f"of the workers {states.silence(said_at_s, now_s)}")
    for status in statuses:
        yield from _of_worker(status, said_at_s)


def _of_worker(status: Status, said_at_s: float) -> Iterator[Verdict]:
    name = f"worker {status.worker}"
    if not status.pid:
        yield Verdict(State.STOPPED, f"{name} does not run", "see the daemon's log")
    elif status.ticked_at_s and said_at_s - status.ticked_at_s > STALE_AFTER_S:
        age_s = said_at_s - status.ticked_at_s
        yield Verdict(State.STOPPED, f"{name} has not come by for {age_s:.0f} s", "end its process")
    elif not status.is_assigned:
        yield Verdict(State.STOPPED, f"{name} is joining its group", "wait: it takes seconds")
    if status.held_because:
        yield Verdict(
            State.BLOCKED, status.held_because, "mend what the reason names; nothing is lost"
        )
    if status.redis_away:
        yield Verdict(
            State.DEGRADED, f"without idempotency keys: {status.redis_away}", "start Redis"
        )


def _of_parked(parked: int | None, is_counted: bool) -> Iterator[Verdict]:
    """What came after them flows on, but source and sink are not equal."""
    if not is_counted:
        yield states.unknown("parked records have not been counted yet")
    if parked:
        why = f"{parked:,} record(s) are parked, not applied"
        yield Verdict(State.DEGRADED, why, "`tailrace parked list`")


def _rates(windows: Sequence[deque[Sample]]) -> tuple[float | None, float | None]:
    """Records a second that came into Kafka, and that the sink applied."""
    arrived = applied = 0.0
    for window in windows:
        known = [s for s in window if s.applied is not None and s.end is not None]
        if len(known) < 2 or known[-1].at_s <= known[0].at_s:
            return None, None
        first, last = known[0], known[-1]
        span_s = last.at_s - first.at_s
        arrived += ((last.end or 0) - (first.end or 0)) / span_s
        applied += ((last.applied or 0) - (first.applied or 0)) / span_s
    return (max(0.0, arrived), max(0.0, applied)) if windows else (None, None)


def _workers(answers: Answers) -> Sequence[WorkersAnswer]:
    return answers.workers.answer if isinstance(answers.workers, Seen) else ()


def _told(answers: Answers, sink: str) -> list[tuple[str, Status]]:
    """Where each worker of the sink answered, and what it says, in times of our clock."""
    ahead_s = {skew.clock: skew.ahead_s for skew in wrong_clocks(answers)}
    return [
        (answer.where, on_our_clock(status, ahead_s.get(clock_of(answer.where), 0.0)))
        for answer in _workers(answers)
        for status in answer.statuses
        if status.sink == sink
    ]


def _worker_view(where: str, status: Status) -> view.Worker:
    return view.Worker(
        where,
        status.worker,
        status.pid,
        status.started_at_s,
        status.ticked_at_s,
        status.held_because,
        status.redis_away,
        len(status.places),
    )


def _behind(sample: Sample) -> int | None:
    if sample.applied is None or sample.end is None:
        return None
    return max(0, sample.end - sample.applied)
