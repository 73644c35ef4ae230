"""`tailrace doctor` on a real pipeline: in order, and broken on purpose in many ways."""

import json
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka
import pytest
import redis
from kafka.structs import TopicPartition as Theirs
from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors import operate
from connectors.lifecycle import await_state, states
from connectors.render import render
from connectors.rest import Connect
from devstack import AnyStack
from devstack.process import free_ports
from devstack.valkey import Valkey
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually

DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
CREATE TABLE empty (id int PRIMARY KEY);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 50) AS i;
"""


@dataclass(frozen=True)
class Seen:
    """What a script sees: exit code and lines."""

    code: int
    lines: list[dict[str, Any]]

    def of(self, group: str, check: str) -> dict[str, Any]:
        (line,) = (x for x in self.lines if (x["group"], x["check"]) == (group, check))
        return line

    def amiss(self) -> set[tuple[str, str, str]]:
        return {(x["group"], x["check"], x["state"]) for x in self.lines if x["state"] != "ok"}


@pytest.fixture
def shop(cdc: Callable[..., Cdc]) -> Cdc:
    return registered(cdc)


@pytest.fixture(scope="module")
def untouched(shared_cdc: Callable[..., Cdc]) -> Cdc:
    """For tests that only look at it."""
    return registered(shared_cdc)


def registered(cdc: Callable[..., Cdc]) -> Cdc:
    shop = cdc(DDL, ["public.orders", "public.empty"], watch_effects=False)
    shop.register()
    return shop


def seen(shop: Cdc, **environment: str) -> Seen:
    done = shop.command("doctor", "--json", **environment)
    assert "Traceback" not in done.stderr, done.stderr
    return Seen(done.returncode, json.loads(done.stdout)["checks"])


def follow(shop: Cdc, line: dict[str, Any]) -> None:
    """Do what a fix says, word for word."""
    program, *words = shlex.split(line["fix"])
    assert (program, words[-1]) == ("tailrace", str(shop.file))
    done = shop.command(*words[:-2])
    assert done.returncode == 0, done.stderr


def test_a_pipeline_in_order_is_ok_in_every_check(shop: Cdc) -> None:
    shop.start()
    shop.wait_converged()
    eventually(lambda: not seen(shop).amiss(), 60, "nothing amiss")
    text = shop.command("doctor")
    assert text.returncode == 0
    assert text.stdout.splitlines()[-1].endswith(" ok")
    assert "nothing was sent yet of" in text.stdout


def test_before_anything_was_set_up_each_step_is_named(cdc: Callable[..., Cdc]) -> None:
    shop = cdc(DDL, ["public.orders"], watch_effects=False)
    found = seen(shop)
    assert found.code == 3
    failed = {(group, check) for group, check, state in found.amiss() if state == "failed"}
    assert failed == {
        ("source", "publication"),
        ("source", "control tables"),
        ("source", "slot"),
        ("connect", "connector"),
        ("sink mirror", "schema"),
    }
    follow(shop, found.of("sink mirror", "schema"))
    follow(shop, found.of("connect", "connector"))
    eventually(lambda: seen(shop).code == 0, 60, "nothing failed")


def test_a_dropped_slot(shop: Cdc) -> None:
    with shop.at() as at:
        eventually(lambda: operate.status(shop.spec, at).position, 60, "a stored position")
        at.connect.stop(shop.name)
        await_state(at.connect, shop.name, "STOPPED")
        eventually(lambda: _drop_slot(at.source, shop.name), 60, "the slot to be free")
        found = seen(shop)
    assert found.code == 3
    assert "no replication slot" in found.of("source", "slot")["sentence"]
    position = found.of("connect", "position")
    assert position["state"] == "failed"
    assert "TR-SRC-013" in position["sentence"]
    assert "take a new snapshot" in position["sentence"]


def _drop_slot(source: Any, name: str) -> bool:
    dropped = source.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE slot_name = %s AND NOT active",
        [name],
    )
    return bool(dropped.fetchall())


def test_a_paused_connector_and_the_fix_that_is_told(shop: Cdc) -> None:
    with shop.at() as at:
        operate.pause(shop.spec, at)
    found = seen(shop)
    assert found.amiss() == {("connect", "tasks", "failed"), ("connect", "heartbeat", "unknown")}
    tasks = found.of("connect", "tasks")
    assert "PAUSED" in tasks["sentence"]
    follow(shop, tasks)
    assert seen(shop).of("connect", "tasks")["state"] == "ok"


def test_a_task_that_failed(shop: Cdc) -> None:
    with Connect(shop.spec.connect_url) as connect:
        connect.put(shop.name, render(shop.spec) | {"publication.name": "nobody_made_it"})
        eventually(lambda: "FAILED" in str(states(connect, shop.name)), 60, "a failed task")
    found = seen(shop)
    assert found.code == 3
    tasks = found.of("connect", "tasks")
    assert tasks["state"] == "failed"
    assert "publication is missing" in tasks["sentence"]
    settings = found.of("connect", "settings")
    assert "publication.name is nobody_made_it" in settings["sentence"]
    follow(shop, settings)
    eventually(lambda: seen(shop).code == 0, 60, "nothing failed")


def test_settings_and_placeholder_that_are_not_the_file_s(shop: Cdc) -> None:
    with Connect(shop.spec.connect_url) as connect:
        connect.put(shop.name, render(shop.spec) | {"poll.interval.ms": "500"})
    found = seen(shop, TAILRACE__SOURCE__PLACEHOLDER="unchanged-of-somebody-else")
    assert found.code == 3
    settings = found.of("connect", "settings")
    assert settings["state"] == "warning"
    assert "poll.interval.ms is 500, not 10" in settings["sentence"]
    placeholder = found.of("connect", "placeholder")
    assert placeholder["state"] == "failed"
    assert "set `source.placeholder` back" in placeholder["sentence"]
    assert shop.spec.placeholder not in str(found.lines)


def test_a_target_with_things_missing_and_things_in_the_way(shop: Cdc) -> None:
    with shop.sink.connect() as target:
        target.execute("ALTER TABLE orders DROP COLUMN note, DROP COLUMN _cdc_lsn")
        target.execute("ALTER TABLE orders ADD COLUMN owner text NOT NULL")
        target.execute("ALTER TABLE empty ADD FOREIGN KEY (id) REFERENCES orders")
        target.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
        target.execute("CREATE TRIGGER audit BEFORE INSERT ON orders EXECUTE FUNCTION f()")
        target.execute("ALTER TABLE tailrace.offsets SET UNLOGGED")
    found = seen(shop)
    assert found.code == 3
    schema = found.of("sink mirror", "schema")
    assert "add column note to public.orders" in schema["sentence"]
    assert "add guard columns to public.orders" in schema["sentence"]
    assert "public.orders.owner" in found.of("sink mirror", "extra columns")["sentence"]
    obstacles = [line for line in found.lines if line["check"] == "obstacles"]
    assert [line["state"] for line in obstacles] == ["failed", "failed"]
    unlogged = found.of("sink mirror", "durability")
    assert unlogged["state"] == "failed"
    assert "tailrace.offsets is unlogged" in unlogged["sentence"]
    with shop.sink.connect() as target:
        for line in (*obstacles, unlogged):
            target.execute(line["fix"].encode())
        target.execute("ALTER TABLE orders DROP COLUMN owner")
    follow(shop, schema)
    assert not [line for line in seen(shop).lines if line["state"] == "failed"]


def test_a_mode_that_the_workers_of_connect_do_not_do(untouched: Cdc) -> None:
    assert seen(untouched).of("connect", "exactly once")["state"] == "ok"
    mode = seen(untouched, TAILRACE__CONNECT__EXACTLY_ONCE="true").of("connect", "exactly once")
    assert mode["state"] == "failed"
    assert "exactly.once.source.support=enabled" in mode["fix"]


def test_roles_that_may_only_look(untouched: Cdc) -> None:
    """Nothing is asked that only a superuser may know, and what is hidden is unknown, not well."""
    role = f"looker_{untouched.name}"
    dsns = {
        "TAILRACE__SINKS__MIRROR__DSN": untouched.target_dsn,
        "TAILRACE__SOURCE__DSN": untouched.source_dsn,
    }
    with untouched.sink.connect() as target, untouched.at() as at:
        for server in (target, at.source):
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role))
            server.execute(create)
        limited = {name: make_conninfo(dsn, user=role, password="x") for name, dsn in dsns.items()}
        found = seen(untouched, **limited)
        for server in (target, at.source):
            server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert found.of("source", "role")["state"] == "failed"
    assert ("source", "select right", "failed") in found.amiss()
    hidden = found.of("source", "long transactions")
    assert (hidden["state"], "GRANT pg_read_all_stats" in hidden["fix"]) == ("unknown", True)
    rights = [line for line in found.lines if line["check"] == "rights"]
    assert {line["state"] for line in rights} == {"failed"}
    assert any("GRANT DELETE, INSERT, SELECT, UPDATE" in line["fix"] for line in rights)
    assert found.of("sink mirror", "offsets")["state"] == "unknown"


def test_retention_that_overtook_the_sink(shop: Cdc) -> None:
    topic = f"{shop.name}.public.orders"
    shop.start().stop()
    admin = kafka.KafkaAdminClient(bootstrap_servers=shop.pipeline.kafka.bootstrap)
    try:
        eventually(lambda: topic in admin.list_topics(), 60, "the topic")
        with shop.sink.connect() as target:
            target.execute(
                "INSERT INTO tailrace.offsets (sink, topic, partition) VALUES (%s, %s, 0)"
                " ON CONFLICT (sink, topic, partition) DO UPDATE SET next_offset = 0",
                [shop.group(), topic],
            )
        admin.delete_records({Theirs(topic, 0): 20})
    finally:
        admin.close()
    offsets = seen(shop).of("sink mirror", "offsets")
    assert offsets["state"] == "failed"
    assert "deleted 20 record(s)" in offsets["sentence"]


def test_a_redis_that_drops_keys(untouched: Cdc, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"redis://:hush@127.0.0.1:{port}/0"
    valkey = Valkey(tmp_path, url)
    valkey.start()
    try:
        with redis.Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("appendonly", "no")
            found = seen(untouched, TAILRACE__REDIS__URL=url)
            eviction = found.of("redis", "eviction")
            assert eviction["state"] == "failed"
            assert "allkeys-lru" in eviction["sentence"]
            assert found.of("redis", "persistence")["state"] == "warning"
            for check in ("eviction", "persistence"):
                client.execute_command(*found.of("redis", check)["fix"].split())
            again = seen(untouched, TAILRACE__REDIS__URL=url)
        assert {line["state"] for line in again.lines if line["group"] == "redis"} == {"ok"}
    finally:
        valkey.stop()


def test_a_stopped_connect_leaves_its_checks_unknown(shop: Cdc, stack: AnyStack) -> None:
    worker = stack.part("connect")
    worker.stop()
    try:
        found, text = seen(shop), shop.command("doctor").stdout
    finally:
        worker.start()
    assert found.code == 3
    failed = [line for line in found.lines if line["state"] == "failed"]
    assert [(line["group"], line["check"]) for line in failed] == [("connect", "reachable")]
    unknown = {check for _, check, state in found.amiss() if state == "unknown"}
    assert {"plugin", "tasks", "settings", "position", "heartbeat"} <= unknown
    assert text.count("does not answer") == 1
    eventually(lambda: seen(shop).code == 0, 90, "all well again")


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_servers_that_say_nothing_are_not_waited_for(untouched: Cdc) -> None:
    with silent_server() as port:
        began_s = time.monotonic()
        found = seen(
            untouched,
            TAILRACE__SOURCE__DSN=f"postgresql://me:hush@127.0.0.1:{port}/x",
            TAILRACE__SINKS__MIRROR__DSN=f"postgresql://me:hush@127.0.0.1:{port}/x",
            TAILRACE__CONNECT__URL=f"http://127.0.0.1:{port}",
            TAILRACE__KAFKA__BOOTSTRAP=f"127.0.0.1:{port}",
            TAILRACE__REDIS__URL=f"redis://:hush@127.0.0.1:{port}/0",
        )
        took_s = time.monotonic() - began_s
    assert found.code == 3
    assert {line["state"] for line in found.lines} == {"failed", "unknown"}
    assert sum(line["state"] == "failed" for line in found.lines) == 5
    assert "hush" not in str(found.lines)
    assert took_s < 20  # a whole process on a busy machine; the servers get 4 s of it
