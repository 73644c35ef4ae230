"""What the compose files say, as `docker compose` reads them; no engine is needed."""

import os
from typing import Any

import msgspec
import pytest

from tests.containers.project import BASE, SECURE, THREE_BROKERS, run, versions

OVERLAYS = ((BASE,), (BASE, THREE_BROKERS), (BASE, SECURE))
ONCE = {"register", "kafka-users", "load"}


def read(files: tuple[str, ...]) -> dict[str, Any]:
    words = [word for file in files for word in ("-f", file)]
    done = run("docker", "compose", *words, "--profile", "load", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = msgspec.json.decode(done.stdout)
    return config


@pytest.mark.parametrize("files", OVERLAYS, ids=lambda files: files[-1])
def test_each_file_is_sound(compose_files: None, files: tuple[str, ...]) -> None:
    config = read(files)
    services = config["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert {port.get("host_ip") for port in published} == {"127.0.0.1"}
    assert {port.get("published") for port in published} <= {None, ""}
    images = {service["image"] for service in services.values()}
    assert images - {"tailrace"} <= set(versions().values())
    probed = {name for name, one in services.items() if "test" in one.get("healthcheck", {})}
    assert probed == set(services) - ONCE - {"worker"}  # the worker's is in its image
    for name in ("worker", "register", "load", "dashboard"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    for service in services.values():
        passwords = [name for name in service.get("environment", {}) if name.endswith("PASSWORD")]
        assert passwords == []


def test_three_brokers_keep_two_copies_at_least(compose_files: None) -> None:
    services = read((BASE, THREE_BROKERS))["services"]
    brokers = {name: services[name]["environment"] for name in ("kafka", "kafka-2", "kafka-3")}
    assert {one["KAFKA_MIN_INSYNC_REPLICAS"] for one in brokers.values()} == {"2"}
    assert sorted(one["KAFKA_NODE_ID"] for one in brokers.values()) == ["1", "2", "3"]
    for name, one in brokers.items():
        assert one["KAFKA_ADVERTISED_LISTENERS"] == f"CLIENT://{name}:9092"
        [volume] = services[name]["volumes"]
        assert volume["source"] == f"{name}-data"
    connect = services["connect"]["environment"]
    for topic in ("CONFIG", "OFFSET", "STATUS"):
        assert connect[f"CONNECT_{topic}_STORAGE_REPLICATION_FACTOR"] == "3"


def test_without_the_secrets_one_sentence_says_what_to_do(compose_files: None) -> None:
    done = run("docker", "compose", "--env-file", os.devnull, "config", "-q")
    assert done.returncode != 0
    assert "run deploy/secrets once" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_secrets_stay_when_they_are_made_again(compose_files: None) -> None:
    before = read((BASE, SECURE))
    assert run("deploy/secrets").returncode == 0
    assert read((BASE, SECURE)) == before
