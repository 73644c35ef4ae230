"""The embedded stack, with its real servers. The whole file shares one stack, up from the start."""

import json
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer

from devstack import Endpoints, PartFailed, Stack
from devstack.folder import PARTS
from tailrace.cli import app
from tailrace.exits import UNHEALTHY


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("one") / "stack")
    stack.up()
    yield stack
    stack.reset()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "other")
    yield stack
    stack.reset()


def pids(stack: Stack) -> dict[str, int | None]:
    return {part.part: part.pid for part in stack.status()}


def test_everything_answers_once_up_returns(stack: Stack) -> None:
    assert [part.part for part in stack.status()] == list(PARTS)
    assert all(part.answers for part in stack.status())


def test_a_second_up_reuses_what_runs(stack: Stack) -> None:
    before = pids(stack)

    endpoints = Stack(stack.folder).up()

    assert endpoints == Endpoints.load(stack.folder)
    assert pids(stack) == before


def test_a_killed_part_is_seen_and_comes_back_by_up(stack: Stack) -> None:
    before = pids(stack)
    stack.part("postgres-target").kill()
    killed = {part.part for part in stack.status() if not part.answers}

    stack.up()

    after = pids(stack)
    assert killed == {"postgres-target"}
    assert {name for name in PARTS if before[name] != after[name]} == {"postgres-target"}
    assert all(part.answers for part in stack.status())


def test_a_pid_that_another_program_has_got_is_not_ours(stack: Stack) -> None:
    redis = stack.part("redis")
    redis.kill()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (redis.folder / "pid").write_text(str(stranger.pid))

        assert redis.pid is None
        redis.kill()
        assert stranger.poll() is None
        stranger.kill()
    redis.start()
    assert redis.answers()


def test_a_part_that_fails_to_start_is_named_with_its_log(stack: Stack) -> None:
    target = stack.part("postgres-target")
    target.stop()
    settings = target.folder / "data" / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "no_such_setting = 1\n")
    try:
        with pytest.raises(PartFailed, match="postgres-target ended while starting") as failed:
            stack.up()
    finally:
        settings.write_text(good)
    assert "no_such_setting" in failed.value.log_tail
    stack.up()


def test_a_port_that_another_program_has_is_named(stack: Stack) -> None:
    redis, kafka = stack.part("redis"), stack.part("kafka")
    redis.stop()
    redis.port = kafka.port

    with pytest.raises(PartFailed, match=f"redis needs port {kafka.port}"):
        redis.start()

    stack.up()


def test_debezium_streams_a_change_with_a_password_from_the_secrets_file(stack: Stack) -> None:
    endpoints = Endpoints.load(stack.folder)
    with psycopg.connect(endpoints.source, autocommit=True) as source:
        source.execute("CREATE TABLE greeting (id int PRIMARY KEY, words text)")
        source.execute("CREATE PUBLICATION greetings FOR TABLE greeting")
        source.execute("INSERT INTO greeting VALUES (1, 'hello')")
    connector = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "publication.name": "greetings",
        "topic.prefix": "s",
        "topic.creation.default.partitions": 1,
        "topic.creation.default.replication.factor": 1,
        "database.hostname": "127.0.0.1",
        "database.port": urlsplit(endpoints.source).port,
        "database.user": "postgres",
        "database.password": f"${{file:{endpoints.secrets}:source.password}}",
        "database.dbname": "postgres",
    }
    httpx.put(
        f"{endpoints.connect}/connectors/greetings/config", json=connector, timeout=60
    ).raise_for_status()

    consumer = KafkaConsumer(
        "s.public.greeting",
        bootstrap_servers=endpoints.kafka,
        group_id=None,
        auto_offset_reset="earliest",
        metadata_max_age_ms=500,  # how soon the topic is seen once Connect has made it
        consumer_timeout_ms=60_000,
    )
    record = next(consumer)
    consumer.close()

    assert json.loads(record.value)["after"] == {"id": 1, "words": "hello"}


def test_passwords_are_in_private_files_and_nowhere_else(stack: Stack) -> None:
    endpoints = Endpoints.load(stack.folder)
    passwords = {
        urlsplit(url).password or ""
        for url in (endpoints.source, endpoints.target, endpoints.redis)
    }
    words = [
        word
        for pid in pids(stack).values()
        for word in psutil.Process(pid).cmdline() + list(psutil.Process(pid).environ().values())
    ]
    assert len(passwords) == 3
    assert not any(password in word for password in passwords for word in words)
    assert not any(password in repr(endpoints) for password in passwords)
    for name in ("endpoints.json", "secrets.properties", "redis/valkey.conf"):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o600


def test_two_stacks_side_by_side_and_ups_that_race(stack: Stack, other: Stack) -> None:
    before = pids(stack)
    with ThreadPoolExecutor(2) as pool:
        ups = [pool.submit(Stack(other.folder).up) for _ in range(2)]
        first, second = (up.result() for up in ups)

    assert first == second
    assert all(part.answers for part in other.status())
    assert not set(pids(other).values()) & set(before.values())
    other.reset()
    assert other.status() == []
    assert not any((other.folder / part).exists() for part in PARTS)
    assert pids(stack) == before


def test_status_tells_people_and_programs(stack: Stack, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["stack", "status", "--json", "-f", str(stack.folder)])
    empty = CliRunner().invoke(app, ["stack", "status", "-f", str(tmp_path / "none")])

    assert told.exit_code == 0
    assert {part["part"]: part["pid"] for part in json.loads(told.stdout)} == pids(stack)
    assert empty.exit_code == UNHEALTHY
    assert "tailrace stack up" in empty.output
