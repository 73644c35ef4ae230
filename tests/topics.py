"""Producing to and reading from a pipeline's topics by hand."""

import time
from collections.abc import Iterable
from typing import Any

import kafka

from tests.pipeline import Pipe


def records(pipe: Pipe, topic: str) -> list[Any]:
    """All records of a topic up to its present end, in the order of partition and offset."""
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=pipe.pipeline.kafka.bootstrap,
        auto_offset_reset="earliest",
        fetch_max_bytes=64 << 20,
        max_partition_fetch_bytes=64 << 20,
    )
    try:
        parts = [
            kafka.TopicPartition(topic, number)
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        found: list[Any] = []
        until_s = time.monotonic() + 60
        while any(consumer.position(part) < ends[part] for part in parts):
            assert time.monotonic() < until_s, f"{topic} cannot be read to its end"
            for polled in consumer.poll(200).values():
                found += polled
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def produce(pipe: Pipe, topic: str, sent: Iterable[tuple[int, Any, Any]]) -> None:
    """(partition, key, value) each, durable on return."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=pipe.pipeline.kafka.bootstrap, max_request_size=64 << 20
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
