"""
How far each sink is behind, and how far Kafka is behind the source: sums over what was read.

What is not known stays None with a reason, never 0. Bytes of log and LSNs are the source's;
times are differences on the source's clock, in seconds, and never below 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.catalogue import Slot
from consumer.event import TopicPartition
from tailrace.asking import Away


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest record that a sink has not applied. A snapshot row's time says nothing."""

    offset: int
    committed_at_us: int
    is_snapshot: bool


@dataclass(frozen=True, slots=True)
class Log:
    """
    Kafka's side of one partition. `end` is the offset after the last record that can be read;
    `head` the first record that the sink has not applied, if there is one.
    """

    start: int
    end: int
    head: Head | None = None


@dataclass(frozen=True, slots=True)
class Kafka:
    """Of each sink the partitions of its topics; `beat_at_us`: commit of the newest heartbeat."""

    logs: Mapping[str, Mapping[TopicPartition, Log]]
    beat_at_us: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """The slot, read before the log's position; `ahead_s`: its clock minus ours."""

    slot: Slot | None
    position: int
    beat_age_ms: int | None
    ahead_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """
    One partition of one sink; without a number where a table has no topic yet.

    `lag_s` is the age of the oldest unapplied record by its own commit time, None for a snapshot
    row, and where `unknown` says why there is none.
    """

    sink: str
    topic: str
    partition: int | None
    next_offset: int | None = None
    end_offset: int | None = None
    behind_records: int | None = None
    lag_s: float | None = None
    is_snapshot: bool = False
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """
    The way from the source's log into Kafka. Everything committed before the newest heartbeat in
    Kafka is in Kafka; `overdue_s` is how long the next one is late.
    """

    slot: str
    is_read: bool | None = None
    reader: str | None = None
    wal_status: str | None = None
    retained_bytes: int | None = None
    confirmed_lsn: int | None = None
    current_lsn: int | None = None
    unconfirmed_bytes: int | None = None
    heartbeat_age_s: float | None = None
    heartbeat_in_kafka_age_s: float | None = None
    overdue_s: float | None = None
    unknown: str | None = None


Sinks = Mapping[str, Mapping[TopicPartition, int] | Away]


def rows(
    topics: Mapping[str, Sequence[str]], sinks: Sinks, kafka: Kafka | Away, now_us: int
) -> list[Row]:
    """A row for each sink and partition of its topics, whatever was not to be learned."""
    return [
        row
        for sink, wanted in topics.items()
        for topic in wanted
        for row in _of_topic(sink, topic, sinks[sink], kafka, now_us)
    ]


def source_row(
    slot: str, source: Source | Away, kafka: Kafka | Away, interval_ms: int, now_us: int
) -> SourceRow:
    """`interval_ms` is the time from one heartbeat to the next."""
    in_kafka_s = overdue_s = None
    if isinstance(kafka, Kafka) and kafka.beat_at_us is not None:
        in_kafka_s = max(0.0, (now_us - kafka.beat_at_us) / 1e6)
        overdue_s = max(0.0, in_kafka_s - interval_ms / 1000)
    unknown = _unknown_of_source(slot, source, kafka)
    if isinstance(source, Away) or source.slot is None:
        return SourceRow(
            slot, heartbeat_in_kafka_age_s=in_kafka_s, overdue_s=overdue_s, unknown=unknown
        )
    at = source.slot
    confirmed = at.confirmed
    return SourceRow(
        slot,
        is_read=at.active_pid is not None,
        reader=at.reader or None,
        wal_status=at.wal_status,
        retained_bytes=at.retained_bytes,
        confirmed_lsn=confirmed,
        current_lsn=source.position,
        unconfirmed_bytes=None if confirmed is None else max(0, source.position - confirmed),
        heartbeat_age_s=None if source.beat_age_ms is None else max(0, source.beat_age_ms) / 1000,
        heartbeat_in_kafka_age_s=in_kafka_s,
        overdue_s=overdue_s,
        unknown=unknown,
    )


def unknowns(found: Sequence[Row], source: SourceRow) -> list[str]:
    """Why something is not known, each reason once."""
    reasons = [row.unknown for row in found] + [source.unknown]
    if source.overdue_s:
        reasons.append(
            f"Kafka has had no heartbeat of the source for {source.heartbeat_in_kafka_age_s:.0f} s:"
            " what was committed since then is not counted; see `tailrace connector status`."
        )
    return list(dict.fromkeys(reason for reason in reasons if reason))


def over(found: Sequence[Row], source: SourceRow, limit_s: float) -> Iterator[str]:
    """A sentence for each sink, and for the source, that is later than `limit_s`."""
    late: dict[str, list[Row]] = {}
    for row in found:
        if row.lag_s is not None and row.lag_s > limit_s:
            late.setdefault(row.sink, []).append(row)
    for sink, of_sink in late.items():
        worst = max(of_sink, key=lambda row: row.lag_s or 0.0)
        more = f" and later than {limit_s:g} s in {len(of_sink) - 1} more" if of_sink[1:] else ""
        where = f"{worst.topic}[{worst.partition}]"
        yield f"Sink {sink} is {worst.lag_s:.1f} s behind in {where}{more}."
    if source.overdue_s is not None and source.overdue_s > limit_s:
        yield (
            f"Kafka has had no heartbeat of the source for {source.heartbeat_in_kafka_age_s:.0f} s:"
            " changes do not arrive there; see `tailrace connector status`."
        )


def _of_topic(
    sink: str,
    topic: str,
    applied: Mapping[TopicPartition, int] | Away,
    kafka: Kafka | Away,
    now_us: int,
) -> Iterator[Row]:
    away = next((each.sentence for each in (applied, kafka) if isinstance(each, Away)), None)
    next_offsets = {} if isinstance(applied, Away) else applied
    logs = {} if isinstance(kafka, Away) else kafka.logs[sink]
    numbers = sorted({at.partition for at in (*next_offsets, *logs) if at.topic == topic})
    if not numbers:
        yield Row(sink, topic, None, unknown=away)
    for number in numbers:
        at = TopicPartition(topic, number)
        log = logs.get(at)
        # A partition that the sink has not met yet will be read from the beginning.
        next_offset = None if isinstance(applied, Away) else next_offsets.get(at, 0)
        row = Row(sink, topic, number, next_offset, log.end if log else None)
        if away is not None:
            yield replace(row, unknown=away)
        else:
            yield _judged(row, at, next_offset or 0, log, now_us)


def lost(sink: str, at: TopicPartition, next_offset: int, log: Log | None) -> str | None:
    """Why the sink cannot go on from `next_offset` in this partition; None: it can."""
    where = f"{at.topic}[{at.partition}]"
    again = "take a new snapshot"
    if log is None:
        return f"Kafka has no {where} any more, which sink {sink} reads: {again}."
    if next_offset < log.start:
        return (
            f"Kafka has deleted {log.start - next_offset} record(s) of {where} that sink {sink} has"
            f" not applied: {again}, and keep the topic longer."
        )
    if next_offset > log.end:
        return (
            f"Sink {sink} is at offset {next_offset} of {where}, beyond its end {log.end}: the"
            f" topic was made anew, so {again}."
        )
    return None


def _judged(row: Row, at: TopicPartition, next_offset: int, log: Log | None, now_us: int) -> Row:
    why = lost(row.sink, at, next_offset, log)
    if log is None or why:
        return replace(row, unknown=why)
    row = replace(row, behind_records=log.end - next_offset)
    if not row.behind_records:
        return replace(row, lag_s=0.0)
    if log.head is None:
        return replace(
            row,
            unknown=f"Kafka did not hand out {at.topic}[{at.partition}] from offset {next_offset}.",
        )
    if log.head.is_snapshot:
        return replace(row, is_snapshot=True)
    return replace(row, lag_s=max(0.0, (now_us - log.head.committed_at_us) / 1e6))


def _unknown_of_source(slot: str, source: Source | Away, kafka: Kafka | Away) -> str | None:
    if isinstance(source, Away):
        return source.sentence
    if source.slot is None:
        return f"The source has no replication slot {slot}: run `tailrace connector status`."
    if isinstance(kafka, Away):
        return kafka.sentence
    if kafka.beat_at_us is None:
        return (
            "No heartbeat has come into Kafka yet: the connector takes its first snapshot, or"
            " does not run; see `tailrace connector status`."
        )
    return None
