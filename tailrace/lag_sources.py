"""Asking the servers for what `lag.py` sums up. All of it raises Away, naming the server."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import kafka
import kafka.errors
import msgspec
import psycopg
from kafka.structs import TopicPartition as Theirs

from connectors.catalogue import last_beat_ms, read_slot, wal_position
from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away, ask, database
from tailrace.config import Kafka as Brokers
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.lag import Head, Kafka, Log, Row, Source, SourceRow, rows, source_row
from tailrace.wiring import group_of, topic_of

HEADS_WITHIN_S = 2.0
SMALL_FETCH_BYTES = 64 << 10  # one record of each partition is all that is wanted
NO_BROKER = "No Kafka broker answers at {}: start one, or correct kafka.bootstrap."
_REQUEST_WITHIN_MS = ANSWER_WITHIN_S * 1000

Offsets = Mapping[TopicPartition, int]


class _Source(msgspec.Struct):
    ts_us: int


class _Envelope(msgspec.Struct):
    op: str
    source: _Source


_decode = msgspec.json.Decoder(_Envelope).decode


def measure(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    read_applied: Callable[[Pipeline, str], Offsets] | None = None,
) -> tuple[list[Row], SourceRow]:
    """
    Ask each server once. Every sink before Kafka's ends, so that none seems to be ahead, or done
    where it is not. `read_applied` is asked instead of a sink that is not one of ours.
    """
    read = read_applied or read_sink
    topics = {
        name: [topic_of(pipeline, table) for table in sink.tables]
        for name, sink in pipeline.sinks.items()
    }
    questions: dict[str, Callable[[], Any]] = {"the source": lambda: read_source(pipeline, spec)}
    for name in topics:
        questions[f"sink {name}"] = partial(read, pipeline, name)
    answers = ask(questions, within_s=2.0 * CONNECT_WITHIN_S)
    source: Source | Away = answers["the source"]
    applied = {name: answers[f"sink {name}"] for name in topics}
    wanted = {
        name: (names, {} if isinstance(applied[name], Away) else applied[name])
        for name, names in topics.items()
    }
    beats = f"{spec.topic_prefix}.{spec.control_schema}.heartbeat"
    found = ask(
        {"Kafka": lambda: read_kafka(pipeline.kafka, wanted, beats)},
        within_s=HEADS_WITHIN_S + 3 * ANSWER_WITHIN_S,
    )["Kafka"]
    ahead_s = 0.0 if isinstance(source, Away) else source.ahead_s
    now_us = int((time.time() + ahead_s) * 1e6)
    return (
        rows(topics, applied, found, now_us),
        source_row(spec.slot, source, found, spec.heartbeat_interval_ms, now_us),
    )


def read_source(pipeline: Pipeline, spec: ConnectorSpec) -> Source:
    """Slot, position of the log, heartbeat and clock of the source. Raises Away."""
    with database(pipeline.source.dsn, "source database") as connection:
        return look_at_source(connection, spec)


def look_at_source(connection: Connection, spec: ConnectorSpec) -> Source:
    """The same over an open connection."""
    return Source(
        slot=read_slot(connection, spec.slot),
        position=wal_position(connection),
        beat_age_ms=last_beat_ms(connection, spec),
        ahead_s=clock_ahead_s(connection),
    )


def clock_ahead_s(connection: Connection) -> float:
    """The server's clock minus ours, in seconds, good to half of the way there and back."""
    asked_at_s = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    answered_at_s = time.time()
    return (float(row[0]) if row else asked_at_s) - (asked_at_s + answered_at_s) / 2


def read_sink(pipeline: Pipeline, name: str) -> Offsets:
    """The sink's own next offsets, as they are in its database."""
    what = f"database of sink {name}"
    with database(pipeline.sinks[name].dsn, what) as connection:
        try:
            return next_offsets(connection, group_of(pipeline, name))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise Away(
                f"The {what} has no tailrace.offsets: run `tailrace schema apply`."
            ) from None


def next_offsets(connection: Connection, group: str) -> Offsets:
    """Of every partition that the sink has met. Raises psycopg.Error where its table is not."""
    query = "SELECT topic, partition, next_offset FROM tailrace.offsets WHERE sink = %s"
    rows = connection.execute(query, [group])
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


@contextmanager
def kafka_consumer(
    brokers: Brokers, fetch_bytes: int = SMALL_FETCH_BYTES
) -> Iterator[kafka.KafkaConsumer]:
    """A consumer without a group, which leaves no trace on the brokers. Raises Away."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what goes wrong is told by Away
    try:
        consumer = kafka.KafkaConsumer(
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=fetch_bytes,
            bootstrap_timeout_ms=CONNECT_WITHIN_S * 1000,
            request_timeout_ms=_REQUEST_WITHIN_MS,
            metrics_enabled=False,
            **brokers.client(),
        )
    except (kafka.errors.KafkaError, OSError) as error:
        raise Away(NO_BROKER.format(brokers.bootstrap)) from error
    try:
        yield consumer
    except (kafka.errors.KafkaError, OSError) as error:
        raise Away(f"Kafka at {brokers.bootstrap} did not answer a question ({error}).") from error
    finally:
        consumer.close(autocommit=False)


def read_kafka(
    brokers: Brokers, sinks: Mapping[str, tuple[Sequence[str], Offsets]], beats: str
) -> Kafka:
    """As `read_logs`, over a connection of its own. Raises Away."""
    with kafka_consumer(brokers) as consumer:
        return read_logs(consumer, sinks, beats)


def read_logs(
    consumer: kafka.KafkaConsumer,
    sinks: Mapping[str, tuple[Sequence[str], Offsets]],
    beats: str,
) -> Kafka:
    """Ends of the topics' logs, and the record at each sink's next offset."""
    known = consumer.topics()
    logs = {}
    for name, (topics, applied) in sinks.items():
        at = [
            TopicPartition(topic, number)
            for topic in topics
            if topic in known
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        logs[name] = _logs(consumer, at, applied)
    return Kafka(logs, _newest_beat_us(consumer, beats) if beats in known else None)


def _logs(
    consumer: kafka.KafkaConsumer, partitions: Sequence[TopicPartition], applied: Offsets
) -> dict[TopicPartition, Log]:
    theirs = [Theirs(*at) for at in partitions]
    starts = consumer.beginning_offsets(theirs)
    ends = consumer.end_offsets(theirs)
    wanted = {
        at: offset
        for at, offset in ((at, applied.get(TopicPartition(*at), 0)) for at in theirs)
        if starts[at] <= offset < ends[at]
    }
    heads = _heads(consumer, wanted, ends)
    logs = {}
    for at in theirs:
        head = heads.get(at)
        # Nothing but a transaction's marker is left: no record is behind.
        is_done = at in wanted and head is None and at in heads
        end = wanted[at] if is_done else ends[at]
        logs[TopicPartition(*at)] = Log(starts[at], end, head)
    return logs


def _heads(
    consumer: kafka.KafkaConsumer, wanted: Mapping[Theirs, int], ends: Mapping[Theirs, int]
) -> dict[Theirs, Head | None]:
    """The first record from each wanted offset; None where there is none before the end."""
    consumer.assign(list(wanted))
    consumer.resume(*wanted)  # assigned again, a partition stays as paused as it was
    for at, offset in wanted.items():
        consumer.seek(at, offset)
    heads: dict[Theirs, Head | None] = {}
    until_s = time.monotonic() + HEADS_WITHIN_S
    while len(heads) < len(wanted) and time.monotonic() < until_s:
        for at, records in consumer.poll(200, max_records=1).items():
            consumer.pause(at)
            heads[at] = _head(records[0])
        for at in wanted.keys() - heads.keys():
            if consumer.position(at) >= ends[at]:
                heads[at] = None
    return heads


def _head(record: Any) -> Head:
    """What is no change event is as old as its record."""
    try:
        envelope = _decode(record.value or b"")
    except (msgspec.MsgspecError, RecursionError):
        return Head(record.offset, record.timestamp * 1000, is_snapshot=False)
    return Head(record.offset, envelope.source.ts_us, is_snapshot=envelope.op == "r")


def _newest_beat_us(consumer: kafka.KafkaConsumer, topic: str) -> int | None:
    at = Theirs(topic, 0)
    ends = consumer.end_offsets([at])
    last = max(0, ends[at] - 1)
    head = _heads(consumer, {at: last}, ends).get(at) if ends[at] else None
    return None if head is None or head.is_snapshot else head.committed_at_us
