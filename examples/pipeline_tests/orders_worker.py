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
from contextlib import suppress
from itertools import count
from typing import Any

import kafka
import psycopg
from kafka.errors import CommitFailedError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata, TopicPartition

UPSERT = """
INSERT INTO orders_copy (id, note) VALUES (%(id)s, %(note)s)
ON CONFLICT (id) DO UPDATE SET note = excluded.note
"""
DELETE = "DELETE FROM orders_copy WHERE id = %(id)s"
REMEMBER = "INSERT INTO applied VALUES (%s) ON CONFLICT DO NOTHING"


class Copier:
    """Notes each change in the transaction that applies it: a repeat takes no second effect."""

    def __init__(self, target: psycopg.Connection[Any], broken: str) -> None:
        self._target = target
        self._broken = broken
        self._numbers = count(1)

    def apply(self, record: Any) -> None:
        """One record of Kafka, in one transaction."""
        with self._target.transaction():
            event = json.loads(record.value)
            if not self._target.execute(REMEMBER, [_identity(record, event)]).rowcount:
                return
            for _ in range(self._times(next(self._numbers))):
                row = event["after"] or event["before"]
                self._target.execute(DELETE if event["op"] == "d" else UPSERT, row)

    def _times(self, number: int) -> int:
        if self._broken == "drops" and number % 10 == 0:
            return 0
        return 2 if self._broken == "repeats" else 1


def _identity(record: Any, event: Any) -> str:
    """The same however often it is sent, at whatever offset."""
    return f"{record.topic} {record.key.decode()} {event['source']['sequence']} {event['op']}"


def run(broken: str, stopped: threading.Event) -> None:
    """Until `stopped`. Kafka is told of each batch once the target has it."""
    topics = json.loads(os.environ["CDC_TOPICS"])
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=os.environ["CDC_KAFKA"],
        group_id=os.environ["CDC_GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        metadata_max_age_ms=1000,
        session_timeout_ms=6000,  # so long a killed worker keeps its partitions from the next one
        heartbeat_interval_ms=1500,
    )
    consumer.topics()  # who joins before the topics are known may be assigned none of them
    consumer.subscribe([topics["public.orders"]])
    with psycopg.connect(os.environ["CDC_TARGET"], autocommit=True) as target:
        copier = Copier(target, broken)
        while not stopped.is_set():
            for at, records in consumer.poll(200).items():
                for record in records:
                    copier.apply(record)
                done = OffsetAndMetadata(records[-1].offset + 1, "", -1)
                # In a rebalance Kafka takes no commit: what comes again then takes no effect.
                with suppress(RebalanceInProgressError, CommitFailedError):
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
