"""Which dead letters of a sink carry a record, by what their headers say."""

import time
from collections.abc import Collection

import kafka
from kafka.structs import TopicPartition as Theirs

from consumer.deadletter import notes
from consumer.event import Record, TopicPartition
from tailrace.trace.scan import read
from tailrace.trace.view import Letter

MOST_LETTERS = 200_000
READ_WITHIN_S = 30.0

Place = tuple[str, int, int]
"""Topic, partition, offset."""


def look_for(
    consumer: kafka.KafkaConsumer, topic: str, wanted: Collection[Place]
) -> dict[Place, list[Letter]]:
    """Among the newest of the topic; nothing where there is no such topic."""
    if not wanted or topic not in consumer.topics():
        return {}
    theirs = [Theirs(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    starts, stops = consumer.beginning_offsets(theirs), consumer.end_offsets(theirs)
    ranges = {
        TopicPartition(*at): (max(starts[at], stops[at] - MOST_LETTERS), stops[at]) for at in theirs
    }
    found: dict[Place, list[Letter]] = {}
    for _, records in read(consumer, ranges, time.monotonic() + READ_WITHIN_S):
        for record in records:
            place, reason = of(record)
            if place is not None and place in wanted:
                found.setdefault(place, []).append(Letter(record.offset, reason))
    return found


def of(record: Record) -> tuple[Place | None, str]:
    """The place of the record that a letter carries, None where nothing says so; and why."""
    said = notes(record.headers)
    try:
        place = (said["topic"], int(said["partition"]), int(said["offset"]))
    except (KeyError, ValueError):
        return None, ""
    return place, said.get("reason", "")
