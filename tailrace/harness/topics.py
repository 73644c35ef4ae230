"""Reading and writing a pipeline's topics by hand, and what their records say."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kafka
import msgspec
from kafka.structs import TopicPartition as Theirs

from consumer.deadletter import HEADER
from consumer.event import TopicPartition
from tailrace.config import Kafka as Brokers
from tailrace.harness.waits import Late

LARGEST_BYTES = 64 << 20
READ_WITHIN_S = 60.0

Sent = tuple[int, bytes | None, bytes | None]
"""Partition, key and value of a record to produce."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change as Debezium wrote it to Kafka. Rows hold the values of its JSON."""

    partition: int
    offset: int
    key: Mapping[str, Any] | None
    envelope: Mapping[str, Any]
    """Everything: op, before, after, source and times."""

    @property
    def op(self) -> str:
        """c, u, d, r (a row of a snapshot), t (truncate) or m (a logical message)."""
        return str(self.envelope["op"])

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The row before the change, or its key, as far as the source's replica identity goes."""
        row: Mapping[str, Any] | None = self.envelope.get("before")
        return row

    @property
    def after(self) -> Mapping[str, Any] | None:
        """The row after the change; None for a delete."""
        row: Mapping[str, Any] | None = self.envelope.get("after")
        return row

    @property
    def lsn(self) -> int:
        """Where the change is in the source's log."""
        return int(self.envelope["source"]["lsn"])


@dataclass(frozen=True, slots=True)
class Parked:
    """A record among the dead letters: as it came, from where, and why it was not applied."""

    reason: str
    table: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def records(brokers: Brokers, topic: str) -> list[Any]:
    """All records of a topic up to its present end, by partition and offset; [] without one."""
    with _consumer(brokers) as consumer:
        parts = _partitions(consumer, [topic])
        if not parts:
            return []
        consumer.assign(parts)
        last = consumer.end_offsets(parts)
        found: list[Any] = []
        until_s = time.monotonic() + READ_WITHIN_S
        while any(consumer.position(part) < last[part] for part in parts):
            if time.monotonic() > until_s:
                raise Late(f"{topic} cannot be read to its end within {READ_WITHIN_S:.0f} s")
            for polled in consumer.poll(200).values():
                found += polled
    return sorted(found, key=lambda record: (record.partition, record.offset))


def events(brokers: Brokers, topic: str) -> list[Event]:
    """The same as changes. Raises msgspec.DecodeError for a record that is none."""
    decode = msgspec.json.decode
    return [
        Event(
            record.partition,
            record.offset,
            None if record.key is None else decode(record.key),
            decode(record.value),
        )
        for record in records(brokers, topic)
        if record.value is not None
    ]


def parked(brokers: Brokers, topic: str) -> list[Parked]:
    """What is in a topic of dead letters."""
    found = []
    for record in records(brokers, topic):
        said = {name.removeprefix(HEADER): text.decode() for name, text in record.headers}
        found.append(
            Parked(
                said["reason"],
                said["table"],
                said["topic"],
                int(said["partition"]),
                int(said["offset"]),
                record.key,
                record.value,
            )
        )
    return found


def ends(brokers: Brokers, topics: Collection[str]) -> dict[TopicPartition, int]:
    """The offset after the last record of every partition that there is."""
    with _consumer(brokers) as consumer:
        found = consumer.end_offsets(_partitions(consumer, topics))
    return {TopicPartition(*at): offset for at, offset in found.items()}


def committed(brokers: Brokers, group: str) -> dict[TopicPartition, int]:
    """What a consumer group has committed to Kafka."""
    admin = kafka.KafkaAdminClient(**brokers.client())
    try:
        found = admin.list_group_offsets(group)[group]
    finally:
        admin.close()
    return {TopicPartition(*at): there.offset for at, there in found.items() if there.offset >= 0}


def produce(brokers: Brokers, topic: str, sent: Iterable[Sent]) -> None:
    """Write records; every one is durable on return."""
    producer = kafka.KafkaProducer(
        max_request_size=LARGEST_BYTES, metrics_enabled=False, **brokers.client()
    )
    try:
        futures = [
            producer.send(topic, key=key, value=value, partition=partition)
            for partition, key, value in sent
        ]
        for future in futures:
            future.get(timeout=30)
    finally:
        producer.close()


def delete(brokers: Brokers, prefix: str) -> None:
    """Remove every topic whose name begins with `prefix`."""
    admin = kafka.KafkaAdminClient(**brokers.client())
    try:
        mine = [topic for topic in admin.list_topics() if topic.startswith(prefix)]
        if mine:
            admin.delete_topics(mine)
    finally:
        admin.close()


def _consumer(brokers: Brokers) -> Any:
    return kafka.KafkaConsumer(
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        fetch_max_bytes=LARGEST_BYTES,
        max_partition_fetch_bytes=LARGEST_BYTES,
        metrics_enabled=False,
        **brokers.client(),
    )


def _partitions(consumer: Any, topics: Iterable[str]) -> Sequence[Theirs]:
    known = consumer.topics()
    return [
        Theirs(topic, number)
        for topic in topics
        if topic in known
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
