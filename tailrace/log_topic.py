"""The topic of the log of sagas, read from its beginning and held against the source's table."""

import time

import kafka
from kafka.structs import TopicPartition as Theirs

from connectors.spec import LOG
from sagas.published import Compared, Published
from tailrace.asking import Away
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.exits import TRY_AGAIN, USAGE, Problem
from tailrace.logs import kafka_consumer
from tailrace.progress import Listener
from tailrace.wiring import topic_of

FETCH_BYTES = 4 << 20
POLL_MS = 200
POLL_RECORDS = 5_000
QUIET_S = 10.0
"""How long to wait for a record that is missing: it may be on its way."""


def compare(pipeline: Pipeline, tx: Connection, tell: Listener) -> Compared:
    """
    Every record up to the newest row of now. Raises Problem: TR-SAG-006 where the log is not
    published, TR-SAG-007 where Kafka does not give it.
    """
    topic = topic_of(pipeline, LOG)
    none = Problem(
        "TR-SAG-006",
        f"Nothing of the log was published to {topic}: put {LOG} among `source.tables` and run"
        " `tailrace connector apply`.",
        exit_code=USAGE,
    )
    if LOG not in pipeline.source.tables:
        raise none
    try:
        with kafka_consumer(pipeline.kafka, fetch_bytes=FETCH_BYTES) as consumer:
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise none
            published = Published(tx)
            _read(consumer, [Theirs(topic, number) for number in numbers], published, tell)
            return published.compared()
    except Away as away:
        raise Problem("TR-SAG-007", away.sentence, exit_code=TRY_AGAIN) from away


def _read(
    consumer: kafka.KafkaConsumer, parts: list[Theirs], published: Published, tell: Listener
) -> None:
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    count, until_s = 0, time.monotonic() + QUIET_S
    while time.monotonic() < until_s:
        at_end = all(consumer.position(part) >= ends[part] for part in parts)
        if at_end and published.is_whole:
            return
        for records in consumer.poll(POLL_MS, max_records=POLL_RECORDS).values():
            published.take([record.value for record in records])
            count += len(records)
            if not at_end:
                until_s = time.monotonic() + QUIET_S
        tell("topic", f"{count:,} records")
    if not at_end:
        raise Away(f"Kafka gave {count:,} records, and then none for {QUIET_S:.0f} s.")
