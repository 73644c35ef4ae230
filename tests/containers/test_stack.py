"""The stack of containers, and its two containers that are of use alone. Needs a Docker engine."""

import json
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kafka
import psycopg
import pytest
import redis
from testcontainers.core.network import Network

from devstack import Endpoints, PartFailed, Stack, images
from devstack.containers import FOLDER_LABEL, ContainerStack
from devstack.endpoints import SECRETS
from devstack.folder import PARTS
from devstack.servers import ConnectContainer, KafkaContainer, PostgresContainer
from tailrace.exits import FAILED, USAGE

WHY_NOT = images.trouble()
needs_docker = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerStack]:
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    stack = ContainerStack(tmp_path_factory.mktemp("one") / "stack")
    try:
        stack.up()
        yield stack
    finally:
        stack.reset()


@pytest.fixture(scope="module")
def at(stack: ContainerStack) -> Endpoints:
    return Endpoints.load(stack.folder)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ContainerStack]:
    stack = ContainerStack(tmp_path / "other")
    yield stack
    stack.reset()


def pids(stack: ContainerStack) -> dict[str, int | None]:
    return {part.part: part.pid for part in stack.status()}


def inspected(folder: Path) -> list[dict[str, object]]:
    """What Docker knows of everything with the folder's label: containers, networks, volumes."""
    ours = {"label": f"{FOLDER_LABEL}={folder}"}
    with images.engine() as client:
        containers = client.containers.list(all=True, filters=ours)
        others = [*client.networks.list(filters=ours), *client.volumes.list(filters=ours)]
        return [each.attrs for each in [*containers, *others]]


def test_everything_answers_on_loopback_and_nowhere_else(stack: ContainerStack) -> None:
    assert [part.part for part in stack.status()] == list(PARTS)
    assert all(part.answers for part in stack.status())
    published = json.dumps([each.get("HostConfig") for each in inspected(stack.folder)])
    assert published.count('"HostIp": "127.0.0.1"') == published.count('"HostIp"') == len(PARTS)


def test_a_second_up_reuses_what_runs(stack: ContainerStack, at: Endpoints) -> None:
    before = pids(stack)
    assert ContainerStack(stack.folder).up() == at
    assert pids(stack) == before


def test_passwords_are_in_private_files_and_nowhere_else(
    stack: ContainerStack, at: Endpoints
) -> None:
    known = json.dumps(inspected(stack.folder))
    known += "".join(stack.part(name).log_tail(10_000) for name in PARTS)
    passwords = {urlsplit(url).password or "" for url in (at.source, at.target, at.redis)}
    assert len(passwords) == 3
    assert [password for password in passwords if password in known + repr(at)] == []
    for name in ("endpoints.json", SECRETS):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o600


def kept_by_postgres(at: Endpoints) -> Callable[[], bool]:
    with psycopg.connect(at.target) as target:
        target.execute("CREATE TABLE kept AS SELECT 1 AS id")

    def is_there() -> bool:
        with psycopg.connect(at.target) as target:
            return target.execute("SELECT id FROM kept").fetchall() == [(1,)]

    return is_there


def kept_by_redis(at: Endpoints) -> Callable[[], bool]:
    def is_there() -> bool:
        with redis.Redis.from_url(at.redis) as client:
            return bool(client.get("kept") == b"1")

    with redis.Redis.from_url(at.redis) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", 1)
    return is_there


def kept_by_kafka(at: Endpoints) -> Callable[[], bool]:
    def is_there() -> bool:
        admin = kafka.KafkaAdminClient(bootstrap_servers=at.kafka)
        try:
            return "kept" in admin.list_topics()
        finally:
            admin.close()

    admin = kafka.KafkaAdminClient(bootstrap_servers=at.kafka)
    admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    return is_there


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("kafka", kept_by_kafka),
        ("postgres-target", kept_by_postgres),
        ("redis", kept_by_redis),
    ],
)
def test_a_killed_server_comes_back_with_its_port_and_its_data(
    stack: ContainerStack, at: Endpoints, name: str, keep: Callable[[Endpoints], Callable[[], bool]]
) -> None:
    is_there = keep(at)
    part, before = stack.part(name), pids(stack)

    part.kill()
    assert not part.answers()
    assert part.pid is None
    part.start()

    after = pids(stack)
    assert {each for each in PARTS if before[each] != after[each]} == {name}
    assert is_there()


def test_down_keeps_ports_passwords_and_data(stack: ContainerStack, at: Endpoints) -> None:
    with psycopg.connect(at.source) as source:
        source.execute("CREATE TABLE kept AS SELECT 1 AS id")
    stack.down()
    assert all(part.pid is None for part in stack.status())
    assert stack.up() == at
    with psycopg.connect(at.source) as source:
        assert source.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_a_port_that_another_program_has_is_named(stack: ContainerStack) -> None:
    part = stack.part("redis")
    part.stop()
    named = pytest.raises(PartFailed, match=f"redis needs port {part.port}")
    with socket.create_server(("127.0.0.1", part.port)), named:
        part.start()
    part.start()
    assert part.answers()


def test_two_stacks_leave_each_other_alone(stack: ContainerStack, other: ContainerStack) -> None:
    before = pids(stack)
    other.up()
    assert all(part.answers for part in other.status())
    other.reset()
    assert inspected(other.folder) == []
    assert pids(stack) == before
    assert all(part.answers for part in stack.status())


CRASH = """
import os, signal, sys
from devstack.containers import ContainerStack
def die(part, what):
    if (part, what) == ("postgres-target", "running"):
        os.kill(os.getpid(), signal.SIGKILL)
ContainerStack(sys.argv[1]).up(die)
"""


@needs_docker
def test_leftovers_of_a_process_that_was_killed_are_cleaned(other: ContainerStack) -> None:
    def crash() -> None:
        words = [sys.executable, "-c", CRASH, str(other.folder)]
        assert subprocess.run(words, timeout=200).returncode == -signal.SIGKILL

    crash()
    assert "postgres-target" in str(inspected(other.folder))
    shutil.rmtree(other.folder)
    crash()  # it got as far: the data behind a forgotten password was in nobody's way
    shutil.rmtree(other.folder)
    other.down()
    assert {"Mountpoint" in each for each in inspected(other.folder)} == {True}  # volumes alone
    other.reset()
    assert inspected(other.folder) == []


def tailrace(*words: str) -> tuple[int, str, str]:
    """Exit code, output, and what is said to people."""
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", *words], capture_output=True, text=True, timeout=200
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_commands_remember_the_kind(stack: ContainerStack) -> None:
    folder = ("-f", str(stack.folder))
    assert tailrace("stack", "up", "--containers", *folder)[0] == 0
    assert tailrace("stack", "up", *folder)[0] == 0
    code, found, _ = tailrace("stack", "status", "--json", *folder)
    assert code == 0
    assert {part["part"]: part["pid"] for part in json.loads(found)} == pids(stack)
    code, _, said = tailrace("stack", "up", "--containers", "--profile", "bench", *folder)
    assert (code, "TR-STK-005" in said) == (USAGE, True)
    with pytest.raises(PartFailed, match="has a stack of containers, not an embedded stack"):
        Stack(stack.folder).up()


def test_docker_that_cannot_be_reached_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    code, _, said = tailrace("stack", "up", "--containers", "-f", str(tmp_path / "stack"))
    assert code == FAILED
    assert "docker cannot be reached" in said
    assert "No such file" in said


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectContainer]:
    """Without a stack, as a user's own tests would: in a network, with a Postgres of their own."""
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    with (
        Network() as network,
        KafkaContainer().with_network(network) as broker,
        PostgresContainer("db", "hush").with_network(network),
        ConnectContainer().with_kafka(broker).with_secrets("db.password=hush\n") as connect,
    ):
        yield connect


def settings(**changes: str) -> dict[str, str]:
    return {
        "connector.class": "io.tailrace.connect.LosslessPostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": "db",
        "database.user": "postgres",
        "database.password": "${file:/etc/tailrace/secrets.properties:db.password}",
        "database.dbname": "postgres",
    } | {name.replace("_", "."): value for name, value in changes.items()}


def test_a_connector_is_registered_once_every_task_runs(connect: ConnectContainer) -> None:
    connect.register("good", settings(topic_prefix="good", slot_name="good"))
    with pytest.raises(PartFailed, match=r"refused the connector good: .*already exists"):
        connect.register("good", settings(topic_prefix="good", slot_name="good"))


def test_the_trace_of_a_task_that_fails_is_shown(connect: ConnectContainer) -> None:
    nobody = {"publication_name": "nobody_s", "publication_autocreate_mode": "disabled"}
    bad = settings(topic_prefix="bad", slot_name="bad", **nobody)
    with pytest.raises(PartFailed, match="runs bad, but its task 0 failed") as failed:
        connect.register("bad", bad, within_s=3600)  # a failure is not waited for
    assert "\tat io.debezium" in failed.value.log_tail
    assert "Publication autocreation is disabled" in failed.value.log_tail


def test_settings_that_connect_refuses_are_shown(connect: ConnectContainer) -> None:
    with pytest.raises(PartFailed, match=r"refused the connector none: (?s:.*)topic\.prefix"):
        connect.register("none", settings(slot_name="none"))


def test_a_connect_without_a_kafka_in_a_network_says_so() -> None:
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    broker, connect = KafkaContainer(), ConnectContainer()
    with pytest.raises(ValueError, match="give it one by with_network"):
        connect.with_kafka(broker)
    for each in (broker, connect):
        each.stop()
