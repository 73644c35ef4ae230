"""The jar in the repository is what its sources make."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from connectors.lossless import CONNECTOR_CLASS, JAR, PLAIN_CLASS, build
from connectors.rest import Connect
from devstack import Endpoints, jars


@pytest.fixture(scope="module")
def compiler() -> str:
    try:
        version = build.compiler_version()
    except build.NoCompiler as missing:
        pytest.skip(f"cannot rebuild the jar: {missing}")
    made_with = zipfile.ZipFile(JAR).read("META-INF/MANIFEST.MF").decode()
    if f"Build-Jdk-Spec: {version}\r" not in made_with:
        pytest.skip(
            f"cannot compare the jar: javac {version} is here, but {made_with.split()[-1]} made it"
        )
    return version


@pytest.mark.usefixtures("compiler", "stack")
def test_rebuilding_gives_the_same_bytes(tmp_path: Path) -> None:
    class_path = [
        jar
        for name in ("kafka", "debezium")
        for jar in jars.fetch(name, jars.default_cache(), lambda part, what: None)
    ]
    try:
        rebuilt = build.build(class_path, tmp_path / JAR.name)
    except subprocess.CalledProcessError as refused:
        pytest.fail(f"javac refuses the sources: {refused.stderr}")
    assert rebuilt.read_bytes() == JAR.read_bytes()


def test_connect_finds_the_class_beside_debezium_s(endpoints: Endpoints) -> None:
    with Connect(endpoints.connect) as connect:
        plugins = connect.plugins()
    assert plugins[CONNECTOR_CLASS] == plugins[PLAIN_CLASS]


def test_every_setting_of_the_template_is_known_to_connect(endpoints: Endpoints) -> None:
    """A misspelt setting would be ignored without a word."""
    import httpx

    from connectors.render import render
    from tests.unit.connectors.builders import spec

    answer = httpx.get(f"{endpoints.connect}/connector-plugins/{CONNECTOR_CLASS}/config")
    known = {setting["name"] for setting in answer.json()}
    unknown = {
        setting
        for setting in render(spec(exactly_once=True)).keys() - known
        if not setting.startswith(
            ("topic.creation.", "producer.override.", "key.converter.", "value.converter.")
        )
    }
    # Read by Debezium, but not in the list that it gives to Connect.
    assert unknown == {"offset.mismatch.strategy", "queue.provider.type"}
