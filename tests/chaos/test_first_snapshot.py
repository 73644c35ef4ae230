"""
The worker is killed in the middle of a first snapshot, while rows are changed and deleted.

The slot was made before that snapshot, so it holds every change since; a new snapshot beside it is
only right if the stream then begins where the slot does.
"""

import json
import random
import threading
from collections.abc import Iterator

import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.catalogue import last_beat_ms
from connectors.lifecycle import wait_running
from connectors.register import apply, make_plan
from connectors.spec import ConnectorSpec
from devstack import AnyStack, Endpoints
from tailrace.harness.waits import eventually
from tests.sourcedb import Source, source_database

ROWS = 20_000
LAST = -1


@pytest.fixture
def source(stack: AnyStack) -> Iterator[Source]:
    with source_database(Endpoints.load(stack.folder)) as source:
        fill = "INSERT INTO orders SELECT i, 'old' FROM generate_series(1, %s) AS i"
        source.db.execute(fill, [ROWS])
        yield source


class Writer(threading.Thread):
    """Deletes, updates and inserts single rows until stopped."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._stopped = threading.Event()

    def run(self) -> None:
        chance = random.Random(7)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for new in range(ROWS + 1, 10 * ROWS):
                row = [chance.randrange(1, ROWS)]
                connection.execute("DELETE FROM orders WHERE id = %s", row)
                connection.execute("UPDATE orders SET note = 'new' WHERE id = %s", [row[0] + 1])
                connection.execute("INSERT INTO orders VALUES (%s, 'inserted')", [new])
                if self._stopped.wait(0.002):
                    return

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def mirrored(source: Source, spec: ConnectorSpec) -> tuple[dict[int, str], int]:
    """The table as its topic tells it, and how many rows of snapshots it took."""
    rows: dict[int, str] = {}
    copied = 0
    with KafkaConsumer(
        bootstrap_servers=source.endpoints.kafka,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as reader:
        reader.assign([TopicPartition(f"{spec.topic_prefix}.public.orders", 0)])

        def complete() -> bool:
            nonlocal copied
            for records in reader.poll(timeout_ms=500).values():
                for record in records:
                    event = json.loads(record.value)
                    copied += event["op"] == "r"
                    key = json.loads(record.key)["id"]
                    if event["op"] == "d":
                        rows.pop(key, None)
                    else:
                        rows[key] = event["after"]["note"]
            return LAST in rows

        eventually(complete, what="the last row")
    return rows, copied


def test_a_kill_inside_the_first_snapshot(stack: AnyStack, source: Source) -> None:
    slow = {"max.batch.size": "256", "max.queue.size": "512", "snapshot.fetch.size": "100"}
    spec = source.spec(settings=slow)
    writer = Writer(source.dsn)
    writer.start()
    try:
        apply(spec, source.at, make_plan(spec, source.at))
        await_records(source, spec, ROWS // 10)
        worker = stack.part("connect")
        worker.kill()
        worker.start()
        wait_running(source.at.connect, spec.name)
        eventually(lambda: last_beat_ms(source.db, spec), what="the end of the snapshot")
    finally:
        writer.stop()
    source.db.execute("INSERT INTO orders VALUES (%s, 'last')", [LAST])
    rows, copied = mirrored(source, spec)
    truth = dict(source.db.execute("SELECT id, note FROM orders").fetchall())
    assert copied > ROWS * 1.05, "the kill did not come inside the snapshot"
    assert rows.keys() - truth.keys() == set(), "rows that were deleted meanwhile are still there"
    assert rows == truth


def await_records(source: Source, spec: ConnectorSpec, count: int) -> None:
    topic = TopicPartition(f"{spec.topic_prefix}.public.orders", 0)
    with KafkaConsumer(bootstrap_servers=source.endpoints.kafka) as reader:

        def there() -> bool:
            known = reader.partitions_for_topic(topic.topic)
            return bool(known) and reader.end_offsets([topic])[topic] >= count

        eventually(there, what=f"{count} records")
