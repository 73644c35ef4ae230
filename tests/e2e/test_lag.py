"""`tailrace lag` on real pipelines: what a script sees of one that works and one that does not."""

import json
from collections.abc import Callable
from typing import Any

import kafka
import pytest
from kafka.structs import TopicPartition as Theirs

from connectors import operate
from consumer.event import TopicPartition
from devstack.process import free_ports
from tailrace import logs
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually

TABLES = ["public.orders", "public.empty"]
DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
CREATE TABLE empty (id int PRIMARY KEY);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 50) AS i;
"""


@pytest.fixture
def shop(cdc: Callable[..., Cdc]) -> Cdc:
    shop = cdc(DDL, TABLES, partitions=2)
    shop.register()
    return shop


def looked(shop: Cdc, *words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = shop.command("lag", "--json", *words, **environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_nothing_behind_is_zero_and_a_table_without_a_topic_is_said_to_have_none(
    shop: Cdc,
) -> None:
    shop.start()
    shop.wait_converged()
    eventually(lambda: looked(shop, "--max", "5m")[0] == 0, 60, "exit code 0")
    text = shop.command("lag")
    assert text.returncode == 0
    assert "nothing behind" in text.stdout
    assert f"{shop.name}.public.empty" in text.stdout
    assert "no topic yet" in text.stdout
    assert "read by Debezium" in text.stdout
    assert "?" not in text.stdout


def test_a_stopped_worker_falls_behind(shop: Cdc) -> None:
    worker = shop.start()
    shop.wait_converged()
    worker.stop()
    shop.sql("INSERT INTO orders SELECT i, 'new' FROM generate_series(51, 90) AS i")

    def behind() -> int:
        return sum(row["behind_records"] or 0 for row in looked(shop)[1]["sinks"])

    eventually(lambda: behind() == 40, 60, "40 records behind")
    first = max(row["lag_s"] or 0 for row in looked(shop)[1]["sinks"])
    code, found = eventually(lambda: late(shop, f"{first + 1:.1f}s"), 60, "a growing lag")
    assert code == 3
    assert f"Sink {shop.SINK} is" in found["late"][0]
    worker = shop.start()
    shop.wait_converged()
    eventually(lambda: looked(shop, "--max", "30s")[0] == 0, 60, "caught up")


def late(shop: Cdc, limit: str) -> tuple[int, dict[str, Any]] | None:
    code, found = looked(shop, "--max", limit)
    return (code, found) if found["late"] else None


def test_a_snapshot_that_waits_has_a_count_but_no_age(shop: Cdc) -> None:
    _, found = looked(shop, "--max", "1ms")
    rows = [row for row in found["sinks"] if row["partition"] is not None]
    assert sum(row["behind_records"] for row in rows) == 50
    assert {(row["is_snapshot"], row["lag_s"]) for row in rows} == {(True, None)}
    assert not any("Sink" in sentence for sentence in found["late"])
    assert "snapshot" in shop.command("lag").stdout


def test_a_paused_connector_shows_as_an_overdue_heartbeat(shop: Cdc) -> None:
    shop.start()
    eventually(lambda: looked(shop)[0] == 0, 60, "all known")
    with shop.at() as at:
        operate.pause(shop.spec, at)
    code, found = eventually(lambda: late(shop, "2s"), 60, "an overdue heartbeat")
    assert code == 3
    assert "no heartbeat of the source" in found["late"][0]


@pytest.mark.parametrize(
    ("variable", "value", "server"),
    [
        ("TAILRACE__KAFKA__BOOTSTRAP", "127.0.0.1:{port}", "Kafka"),
        ("TAILRACE__SOURCE__DSN", "postgresql://me:hush@127.0.0.1:{port}/x", "source database"),
        ("TAILRACE__SINKS__MIRROR__DSN", "postgresql://me:hush@127.0.0.1:{port}/x", "mirror"),
    ],
)
def test_an_absent_server_is_named_and_nothing_is_zero(
    shop: Cdc, variable: str, value: str, server: str
) -> None:
    (nobody,) = free_ports(1)
    done = shop.command("lag", **{variable: value.format(port=nobody)})
    assert done.returncode == 3
    assert done.stderr == ""
    assert "hush" not in done.stdout
    (reason,) = [line for line in done.stdout.splitlines() if line.startswith("?")]
    assert server in reason


def test_the_target_without_our_tables(shop: Cdc) -> None:
    with shop.sink.connect() as target:
        target.execute("DROP SCHEMA tailrace CASCADE")
    code, found = looked(shop)
    assert code == 3
    assert any("tailrace schema apply" in reason for reason in found["unknown"])


def test_the_marker_of_a_transaction_is_no_record(shop: Cdc) -> None:
    """Kafka's end offset counts it, but there is nothing to apply."""
    topic = f"{shop.name}.marked"
    brokers = shop.pipeline.kafka
    bootstrap = brokers.bootstrap
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=topic, metrics_enabled=False
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"{}", partition=0)
    producer.commit_transaction()
    producer.close()
    at = TopicPartition(topic, 0)
    with logs.kafka_consumer(brokers) as consumer:
        assert consumer.end_offsets([Theirs(*at)]) == {Theirs(*at): 2}
    for applied, left in ((0, 2), (1, 0)):
        found = logs.read_kafka(brokers, {"mirror": ([topic], {at: applied})}, "none")
        log = found.logs["mirror"][at]
        assert log.end - applied == left
        assert (log.head is None) == (left == 0)
