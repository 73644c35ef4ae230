"""Bad input gets a sentence with the next step, loses nothing, and the next good record flows."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from devstack.process import free_ports
from tailrace.harness.cdc import Cdc
from tailrace.harness.running import Running
from tailrace.harness.topics import ends, produce
from tailrace.harness.waits import eventually

DDL = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'first')"


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    return running(cdc(DDL, ["public.t"]))


@pytest.fixture(scope="module")
def poisoned(shared_cdc: Callable[..., Cdc]) -> Cdc:
    return running(shared_cdc(DDL, ["public.t"]))


def running(made: Cdc) -> Cdc:
    made.register()
    made.start()
    made.wait_converged()
    return made


def said(worker: Running, sentence: str) -> None:
    eventually(lambda: sentence in worker.text(), 60, f"{sentence!r} in {worker.text()[-1500:]}")


def event(**changes: Any) -> bytes:
    source = {"schema": "public", "table": "t", "lsn": 10**12, "sequence": f'["1","{10**12}"]'}
    value = {"op": "c", "before": None, "after": {"id": 5, "note": "x"}, "source": source}
    return json.dumps(value | changes).encode()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"k", b'{"op":"c", garbage', "malformed JSON"),
        (b"k", event()[:60], "malformed JSON"),
        (b"k", b'{"hello":"world"}', "not a change event of Debezium"),
        (b"k", event(source={"schema": "public", "table": "other"}), "is not among this sink's"),
        (None, event(), "has no key"),
        (b'{"id":5}', event(after={"id": 5, "note": 7}), "not of its column's type"),
        (b'{"id":5}', event(after=[1]), "is no JSON object"),
    ],
    ids=["malformed", "truncated", "envelope", "unknown table", "keyless", "wrong type", "no row"],
)
def test_a_poison_record_is_parked_and_the_next_flows(
    poisoned: Cdc, key: bytes | None, value: bytes, reason: str
) -> None:
    before = len(poisoned.parked())
    (end,) = ends(poisoned.brokers, poisoned.topics).values()
    produce(poisoned.brokers, poisoned.topic("public.t"), [(0, key, value)])
    poisoned.sql("INSERT INTO t SELECT 100 + count(*), 'after the poison' FROM t")
    poisoned.wait_converged()
    (parked,) = poisoned.parked()[before:]
    assert reason in parked.reason
    assert (parked.key, parked.value) == (key, value)
    assert (parked.topic, parked.offset) == (poisoned.topic("public.t"), end)
    eventually(lambda: poisoned.running[0].text().count(" parked ") == before + 1)


def test_what_a_constraint_refuses_is_parked(live: Cdc) -> None:
    live.sink.sql("ALTER TABLE public.t ADD CONSTRAINT polite CHECK (note <> 'rude')")
    live.sql("INSERT INTO t VALUES (2, 'rude'), (3, 'kind')")
    eventually(lambda: live.sink.query("SELECT 1 FROM t WHERE id = 3"))
    assert "constraint polite" in live.parked()[0].reason


def test_a_column_that_the_target_lacks_waits_for_the_plan(live: Cdc) -> None:
    live.sql("ALTER TABLE t ADD COLUMN more int")
    live.sql("INSERT INTO t VALUES (2, 'with more', 7)")
    said(live.running[0], "has no column more: run `tailrace schema apply`")
    live.make_tables()
    live.wait_converged()
    assert live.sink.query("SELECT more FROM t WHERE id = 2") == [(7,)]


def test_a_table_that_the_target_lacks_waits(live: Cdc) -> None:
    live.sink.sql("ALTER TABLE public.t RENAME TO hidden")
    live.running[0].stop()
    worker = live.start()
    live.sql("INSERT INTO t VALUES (2, 'x')")
    said(worker, "no table public.t: run `tailrace schema apply`")
    live.sink.sql("ALTER TABLE public.hidden RENAME TO t")
    live.wait_converged()


def test_a_value_of_20_mb(live: Cdc) -> None:
    live.sql("INSERT INTO t VALUES (2, repeat('0123456789', 2000000))")
    live.sql("INSERT INTO t VALUES (3, 'after it')")
    live.wait_converged(120)


@pytest.mark.parametrize("server", ["kafka", "redis", "target"])
def test_a_server_that_is_absent_at_start_is_named(live: Cdc, server: str) -> None:
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    config = yaml.safe_load(live.file.read_text())
    expected = {
        "kafka": "no Kafka broker answers at",
        "redis": "idempotency keys are away",
        "target": "cannot take it now",
    }
    if server == "kafka":
        config["kafka"]["bootstrap"] = nowhere
    elif server == "redis":
        config["redis"]["url"] = f"redis://{nowhere}/0"
    else:
        config["sinks"][live.SINK]["dsn"] = f"postgresql://postgres@{nowhere}/x"
    live.running[0].stop()
    live.file.write_text(yaml.safe_dump(config))
    worker = live.start()
    live.sql("INSERT INTO t VALUES (2, 'x')")
    said(worker, expected[server])
    assert "Traceback" not in worker.text()
    if server == "redis":
        live.wait_converged()
    if server == "kafka":
        assert worker.process.wait(60) == 75


@pytest.mark.parametrize("server", ["redis", "target"])
def test_wrong_credentials_are_named(live: Cdc, server: str) -> None:
    config = yaml.safe_load(live.file.read_text())
    user, _, rest = live.target_dsn.rpartition("@")
    redis_user, _, redis_rest = config["redis"]["url"].rpartition("@")
    if server == "redis":
        config["redis"]["url"] = f"{redis_user}wrong@{redis_rest}"
    else:
        config["sinks"][live.SINK]["dsn"] = f"{user}wrong@{rest}"
    live.running[0].stop()
    live.file.write_text(yaml.safe_dump(config))
    worker = live.start()
    live.sql("INSERT INTO t VALUES (2, 'x')")
    expected = {"redis": "invalid username-password", "target": "password authentication failed"}
    said(worker, expected[server])
    assert "wrong" not in worker.text()
    assert "Traceback" not in worker.text()
    if server == "redis":
        live.wait_converged()
