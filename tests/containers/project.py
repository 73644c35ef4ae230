"""One run of docker-compose.yml under a name of its own, unmodified, from the checkout."""

import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from examples.shop import database
from tailrace.harness import effects
from tailrace.harness.waits import eventually

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ROOT / "deploy" / ".secrets"
BASE = "docker-compose.yml"
SECURE = "compose.secure.yml"
THREE_BROKERS = "compose.three-brokers.yml"
UP_WITHIN_S = 420

long_run_only = pytest.mark.skipif(
    os.environ.get("TAILRACE_CHAOS") != "long",
    reason="only in the long run: TAILRACE_CHAOS=long",
)


def versions() -> dict[str, str]:
    """What versions.env says, unless the environment says otherwise, as compose reads it."""
    lines = (ROOT / "versions.env").read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: os.environ.get(name, image) for name, image in said.items()}


def run(*words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """A command in the checkout, its output kept; whoever calls looks at the exit code."""
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)


class Project:
    """`files` are the compose files; containers, volumes and networks carry the project's name."""

    def __init__(self, files: Sequence[str] = (BASE,)) -> None:
        self.name = f"tailrace-test-{secrets.token_hex(4)}"
        self._compose = ["docker", "compose", "-p", self.name]
        self._compose += [word for file in files for word in ("-f", file)]

    def words(self, *words: str) -> list[str]:
        return [*self._compose, *words]

    def compose(self, *words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return run(*self.words(*words), timeout_s=timeout_s)

    def must(self, *words: str, timeout_s: float = 120) -> str:
        """The output of a command that has to succeed."""
        done = self.compose(*words, timeout_s=timeout_s)
        assert done.returncode == 0, f"{words}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        return done.stdout

    def up(self, *words: str) -> None:
        done = self.compose("up", "-d", "--wait", *words, timeout_s=UP_WITHIN_S)
        assert done.returncode == 0, done.stderr[-2000:] + self.logs()

    def down(self) -> None:
        self.compose("--profile", "load", "down", "-v", "--remove-orphans", "-t", "10")

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--tail", "30", "--no-color", *services).stdout[-8000:]

    def port(self, service: str, port: int, index: int = 1) -> str:
        """host:port where it answers."""
        return self.must("port", "--index", str(index), service, str(port)).strip()

    def containers(self, service: str) -> list[str]:
        """The ids of those that run."""
        return self.must("ps", "-q", service).split()

    def source_dsn(self) -> str:
        return self._dsn("source", "shop")

    def source(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.source_dsn(), autocommit=True)

    def target(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn("target", "warehouse"), autocommit=True)

    def _dsn(self, service: str, database: str) -> str:
        """As the host reaches it: the password of the secrets, the port that was published."""
        password = (SECRETS / f"{service}.password").read_text().strip()
        return f"postgresql://postgres:{password}@{self.port(service, 5432)}/{database}"

    def load(self, rate: int, for_s: int) -> "subprocess.Popen[str]":
        """The shop's load, in a container; wait for it with `ended`."""
        words = ("--profile", "load", "run", "--rm", "-T", "load")
        told = (f"--rate={rate}", f"--for={for_s}")
        return subprocess.Popen(
            self.words(*words, *told),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def ended(load: "subprocess.Popen[str]") -> None:
        """Wait for a load, which has to end well."""
        _, said = load.communicate(timeout=180)
        assert load.returncode == 0, said[-2000:]

    def verify(self) -> subprocess.CompletedProcess[str]:
        return self.compose("run", "--rm", "-T", "--no-deps", "worker", "verify")

    def wait_equal(self, within_s: float = 120) -> None:
        """Until `tailrace verify` ends with 0, in the quiet after a load."""
        last = ""

        def equal() -> bool:
            nonlocal last
            done = self.verify()
            last = done.stdout[-2000:] + done.stderr[-1000:]
            return done.returncode == 0

        try:
            eventually(equal, within_s)
        except AssertionError:
            raise AssertionError(f"{last}\n{self.logs('worker', 'connect')}") from None

    def watch_effects(self) -> None:
        """From here on the target writes down every effect in the transaction that makes it."""
        with self.target() as target:
            effects.watch(target, {table: table for table in database.TABLES})

    def assert_each_effect_once(self) -> None:
        with self.target() as target:
            effects.assert_once(target, database.TABLES, {})
            effects.assert_in_order(target, database.TABLES)
            found = effects.counts(target, database.TABLES)
        assert sum(count for count, _ in found.values()) > 100

    def left_behind(self) -> list[str]:
        """Containers, volumes and networks that still carry the project's label."""
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q"))
        return [
            f"{kind[0]} {name}"
            for kind in kinds
            for name in run("docker", *kind, "--filter", label).stdout.split()
        ]
