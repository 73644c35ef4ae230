"""The embedded stack's files, without its servers."""

import re
from collections import Counter
from pathlib import Path

import pytest

from devstack import Endpoints, PartFailed, Stack, jars
from devstack.part import silent
from devstack.process import find, tail


def locked() -> list[list[str]]:
    return [line.split() for line in jars.LOCK.read_text().splitlines()[1:]]


def test_the_lock_names_each_jar_of_a_class_path_once_with_its_hash() -> None:
    assert {line[0] for line in locked()} == {"kafka", "debezium", "debezium-jdbc"}
    assert set(Counter(tuple(line[:3]) for line in locked()).values()) == {1}
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for *_, sha256 in locked())


def test_a_plugin_has_no_jar_that_connect_has() -> None:
    own = {tuple(line[1:3]) for line in locked() if line[0] == "kafka"}
    assert [line for line in locked() if line[0] != "kafka" and tuple(line[1:3]) in own] == []


def test_jars_of_one_release_have_one_version() -> None:
    releases = ("org.apache.kafka", "io.debezium", "com.fasterxml.jackson.core jackson-d")
    versions: dict[tuple[str, str], set[str]] = {}
    for path, group, artifact, version, _ in locked():
        for release in releases:
            if release in f"{group} {artifact}":
                versions.setdefault((path, release), set()).add(version)

    assert all(len(found) == 1 for found in versions.values()), versions


def test_a_jar_with_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = tmp_path / "forged.jar"
    forged.write_bytes(b"not the jar")
    monkeypatch.setattr("jgo.maven.Artifact.resolve", lambda self: forged)

    with pytest.raises(PartFailed, match=r"whose SHA-256 is not the one"):
        jars.fetch("debezium", tmp_path / "cache", silent)

    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(PartFailed, match="XDG_CACHE_HOME"):
        jars.fetch("debezium", tmp_path / "cache", silent)


def test_options_stay_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text('{"profile": "bench", "cache": "/kept"}')

    stack = Stack(tmp_path, exactly_once=True)

    assert (stack.options.profile, stack.options.cache) == ("bench", "/kept")
    assert stack.options.exactly_once


def test_endpoints_of_another_version_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text('{"kafka": "127.0.0.1:1"}')

    with pytest.raises(PartFailed, match="not what this version writes"):
        Endpoints.load(tmp_path)


def test_no_stack_has_no_parts(tmp_path: Path) -> None:
    assert Stack(tmp_path).status() == []
    with pytest.raises(FileNotFoundError):
        Stack(tmp_path).part("kafka")


def test_a_process_is_found_only_by_what_its_command_line_says() -> None:
    import os

    assert find(os.getpid(), "no such word in it") is None
    assert find(os.getpid(), "py") is not None


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(1000)))

    assert tail(log, 2) == "line 998\nline 999"
    assert tail(tmp_path / "none", 2) == ""
