"""
A worker of one's own: it copies the table `orders` into `orders_copy`, in two columns.

It is told where everything is by the CDC_… variables of the test harness. `--broken drops` and
`--broken repeats` make it wrong on purpose, so that the tests can show what they catch.
"""

import argparse
import json
import os
import signal
import threading
from itertools import count
from typing import Any

import kafka
import psycopg
from kafka.structs import OffsetAndMetadata, TopicPartition

UPSERT = """
INSERT INTO orders_copy (id, note) VALUES (%(id)s, %(note)s)
ON CONFLICT (id) DO UPDATE SET note = excluded.note
"""
DELETE = "DELETE FROM orders_copy WHERE id = %(id)s"
ADVANCE = """
INSERT INTO positions VALUES (%s, %s, %s)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""


class Copier:
    """Applies each change together with its offset, so that a repeat takes no second effect."""

    def __init__(self, target: psycopg.Connection[Any], broken: str) -> None:
        self._target = target
        self._broken = broken
        self._numbers = count(1)

    def apply(self, record: Any) -> None:
        """One record of Kafka, in one transaction."""
        with self._target.transaction():
            if record.offset < self._next_offset(record):
                return
            event = json.loads(record.value)
            for _ in range(self._times(next(self._numbers))):
                row = event["after"] or event["before"]
                self._target.execute(DELETE if event["op"] == "d" else UPSERT, row)
            self._target.execute(ADVANCE, [record.topic, record.partition, record.offset + 1])

    def _times(self, number: int) -> int:
        if self._broken == "drops" and number % 10 == 0:
            return 0
        return 2 if self._broken == "repeats" else 1

    def _next_offset(self, record: Any) -> int:
        row = self._target.execute(
            "SELECT next_offset FROM positions WHERE topic = %s AND partition = %s",
            [record.topic, record.partition],
        ).fetchone()
        return row[0] if row else 0


def run(broken: str, stopped: threading.Event) -> None:
    """Until `stopped`. Kafka is told of each batch once the target has it."""
    topics = json.loads(os.environ["CDC_TOPICS"])
    consumer = kafka.KafkaConsumer(
        topics["public.orders"],
        bootstrap_servers=os.environ["CDC_KAFKA"],
        group_id=os.environ["CDC_GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        metadata_max_age_ms=1000,
    )
    with psycopg.connect(os.environ["CDC_TARGET"], autocommit=True) as target:
        copier = Copier(target, broken)
        while not stopped.is_set():
            for at, records in consumer.poll(200).items():
                for record in records:
                    copier.apply(record)
                done = OffsetAndMetadata(records[-1].offset + 1, "", -1)
                consumer.commit({TopicPartition(at.topic, at.partition): done})
    consumer.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broken", choices=["no", "drops", "repeats"], default="no")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    run(parser.parse_args().broken, stopped)


if __name__ == "__main__":
    main()
