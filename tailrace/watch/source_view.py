"""Answers of source, Connect and Kafka -> the view of the way into Kafka. Pure."""

from tailrace.asking import Away
from tailrace.watch import source_state, view
from tailrace.watch.answers import Answers, Memory, beat_overdue_s
from tailrace.watch.budget import budget
from tailrace.watch.probes import Seen


def look(answers: Answers, memory: Memory, now_s: float) -> view.Source:
    """Slot, connector, heartbeat, and the log that is kept."""
    found, connect, kafka = answers.source, answers.connect, answers.kafka
    newest = [window[-1] for window in memory.partitions.values() if window]
    sample = _sample(answers, now_s, in_snapshot=any(each.is_snapshot for each in newest))
    if sample and (not memory.source or memory.source[-1].at_s < sample.at_s):
        memory.source.append(sample)
    verdict = source_state.judge(memory.source, now_s, interval_s=answers.interval_s)
    slot = found.answer.slot if isinstance(found, Seen) else None
    beat_us = kafka.answer.kafka.beat_at_us if isinstance(kafka, Seen) else None
    ahead_s = found.answer.ahead_s if isinstance(found, Seen) else 0.0
    connector = connect.answer if isinstance(connect, Seen) else None
    return view.Source(
        slot=answers.slot,
        verdict=memory.since("source", verdict, now_s),
        connector=connector.state if connector else None,
        tasks=tuple(view.Task(*task) for task in (connector.tasks if connector else ())),
        is_read=None if slot is None else slot.active_pid is not None,
        reader=(slot.reader or None) if slot else None,
        wal_status=slot.wal_status if slot else None,
        confirmed_lsn=slot.confirmed if slot else None,
        current_lsn=found.answer.position if isinstance(found, Seen) else None,
        heartbeat_in_kafka_age_s=None
        if beat_us is None
        else max(0.0, now_s + ahead_s - beat_us / 1e6),
        budget=budget(slot, memory.source, answers.budget_limits),
        tables=tuple(answers.tables),
    )


def _sample(answers: Answers, now_s: float, *, in_snapshot: bool) -> source_state.Sample | None:
    """As old as the oldest answer in it, so that a part which fell silent is noticed."""
    parts = (answers.source, answers.connect, answers.kafka)
    seen = [part for part in parts if isinstance(part, Seen)]
    names = ("the source", "Connect", "Kafka")
    aways = [part.sentence for part in parts if isinstance(part, Away)]
    aways += [
        f"{name} has not answered yet" for name, p in zip(names, parts, strict=True) if p is None
    ]
    at_s = now_s if aways else min(part.answered_at_s for part in seen)
    found, connect, kafka = parts
    slot = found.answer.slot if isinstance(found, Seen) else None
    beat_us = kafka.answer.kafka.beat_at_us if isinstance(kafka, Seen) else None
    overdue_s = beat_overdue_s(answers)
    connector = connect.answer if isinstance(connect, Seen) else None
    tasks = connector.tasks if connector else ()
    return source_state.Sample(
        at_s,
        connector=connector.state if connector else None,
        tasks=tuple(state for _, state, _ in tasks),
        trace=next((trace for _, state, trace in tasks if state == "FAILED"), ""),
        has_slot=None if not isinstance(found, Seen) else slot is not None,
        wal_status=slot.wal_status if slot else None,
        is_read=None if slot is None else slot.active_pid is not None,
        position=found.answer.position if isinstance(found, Seen) else None,
        overdue_s=overdue_s,
        has_connector=None if not isinstance(connect, Seen) else connector is not None,
        is_snapshot=in_snapshot and (overdue_s is None or overdue_s > 0),
        has_beaten=beat_us is not None,
        unknown=" ".join(aways) or None,
    )
