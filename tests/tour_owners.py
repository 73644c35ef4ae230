"""Which orchestrator has which partitions, and how far each of these is."""

from collections import defaultdict
from typing import NamedTuple

import kafka

from consumer.event import TopicPartition
from tailrace.tour import SINK, Tour
from tailrace.wiring import group_of


class At(NamedTuple):
    """A row of the orchestrators' marks."""

    epoch: int
    next_offset: int


def owners(tour: Tour) -> dict[str, set[TopicPartition]]:
    """By instance, as Kafka has it."""
    pipeline = tour.services["tours"].pipeline
    group = group_of(pipeline, SINK)
    admin = kafka.KafkaAdminClient(**pipeline.kafka.client())
    try:
        members = admin.describe_groups([group])[group]["members"]
    finally:
        admin.close()
    found: dict[str, set[TopicPartition]] = defaultdict(set)
    for member in members:
        assignment = member["member_assignment"] or {}  # while it joins it has none
        for each in assignment.get("assigned_partitions", ()):
            found[member["group_instance_id"]] |= {
                TopicPartition(each["topic"], number) for number in each["partitions"]
            }
    return found


def marks(tour: Tour) -> dict[TopicPartition, At]:
    """As the orchestrators' database has them."""
    with tour.connect("tours") as connection:
        rows = connection.execute(
            "SELECT topic, partition, epoch, next_offset FROM tailrace.offsets"
        ).fetchall()
    return {TopicPartition(topic, number): At(*rest) for topic, number, *rest in rows}
