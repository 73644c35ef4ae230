"""When has a sink everything that was committed in the source until now?"""

import time
from collections.abc import Mapping, Sequence
from threading import Event

from connectors.errors import ConnectorError
from connectors.position import resumes_at
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition
from tailrace.asking import Away, database
from tailrace.config import Kafka, Pipeline
from tailrace.lag_sources import read_sink
from tailrace.logs import log_reader, read_kafka
from tailrace.wiring import topics_of

LOOK_EVERY_S = 0.2
pause = Event().wait


class Late(Exception):
    """It did not come so far in time; the sentence says what has not."""


def await_passed(pipeline: Pipeline, spec: ConnectorSpec, sink: str, within_s: float) -> None:
    """
    First all of it has to be in Kafka, for which the connector's own heartbeats are waited for
    (`heartbeat_interval_ms`); then the sink has to pass the ends that its topics have by then.
    Raises Late, Away.
    """
    until_s = time.monotonic() + within_s
    with database(pipeline.source.dsn, "source database") as source:
        row = source.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    while not _is_captured(spec, row[0]):
        _pause(until_s, f"connector {spec.name} has not stored a position after it", within_s)
    with log_reader(pipeline.kafka) as reader:
        topics = topics_of(pipeline, sink)
        ends = {at: end for topic in topics for at, end in reader.ends(topic).items()}
    once = spec.exactly_once
    while short := short_of(
        pipeline.kafka, topics, read_sink(pipeline, sink), ends, exactly_once=once
    ):
        where = ", ".join(f"{at.topic}[{at.partition}]" for at in short)
        _pause(until_s, f"sink {sink} has not come so far in {where}", within_s)


def _pause(until_s: float, what: str, within_s: float) -> None:
    if time.monotonic() > until_s:
        raise Late(f"within {within_s:.0f} s {what}")
    pause(LOOK_EVERY_S)


def _is_captured(spec: ConnectorSpec, lsn: int) -> bool:
    try:
        with Connect(spec.connect_url) as connect:
            stored = [resumes_at(offset) for _, offset in connect.offsets(spec.name) if offset]
    except ConnectorError as error:
        raise Away(error.sentence) from error
    return any(at > lsn for at in stored if at is not None)


def short_of(
    kafka: Kafka,
    topics: Sequence[str],
    reached: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    exactly_once: bool,
) -> list[TopicPartition]:
    """Where a sink lacks a record; the marker that ends a transaction of Kafka's is none."""
    short = [at for at, end in ends.items() if reached.get(at, 0) < end]
    if not short or not exactly_once:
        return short
    logs = read_kafka(kafka, {"": (topics, reached)}, "none").logs[""]
    return [
        at
        for at in short
        if logs[at].end > reached.get(at, 0)
        and not ((head := logs[at].head) and head.offset >= ends[at])
    ]
