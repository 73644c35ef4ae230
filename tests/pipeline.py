"""A whole pipeline for one test: source, connector, topics, worker processes, target."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml

from connectors import operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from devstack import Endpoints
from tailrace import schema
from tailrace.config import Pipeline, load
from tailrace.source import spec_of
from tailrace.verify import TableResult, verify
from tailrace.wiring import group_of

PAUSE = threading.Event()  # never set: a wait that a fact ends early has nothing else to wait on


def eventually(fact: Callable[[], Any], within_s: float = 60.0, what: str = "") -> Any:
    """The first true value of `fact`; fails after `within_s`."""
    until_s = time.monotonic() + within_s
    while True:
        if value := fact():
            return value
        if time.monotonic() > until_s:
            raise AssertionError(f"not within {within_s:.0f} s: {what or fact}")
        PAUSE.wait(0.05)


class Running:
    """A worker or daemon process; its log is kept for when a test fails."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, then its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def text(self) -> str:
        return self.log.read_text()


class Pipe:
    """Everything has the pipeline's name, so that tests leave each other alone."""

    SINK = "mirror"

    def __init__(
        self,
        folder: Path,
        endpoints: Endpoints,
        source: str,
        target: str,
        tables: Sequence[str],
        **connect: Any,
    ) -> None:
        self.name = f"t{secrets.token_hex(4)}"
        self.folder = folder
        self.source_dsn, self.target_dsn = source, target
        self.file = folder / f"{self.name}.yaml"
        host, _, port = endpoints.source_for_connect.rpartition(":")
        self.file.write_text(
            yaml.safe_dump(
                {
                    "pipeline": self.name,
                    "source": {
                        "dsn": source,
                        "connector_host": host,
                        "connector_port": int(port),
                        "tables": list(tables),
                        "placeholder": f"unchanged-{secrets.token_hex(8)}",
                        "password_reference": f"${{file:{endpoints.secrets}:source.password}}",
                    },
                    "connect": {"url": endpoints.connect, **connect},
                    "kafka": {"bootstrap": endpoints.kafka},
                    "redis": {"url": endpoints.redis},
                    "sinks": {self.SINK: {"type": "postgres", "dsn": target}},
                }
            )
        )
        self.pipeline: Pipeline = load(self.file, env={})
        self.spec: ConnectorSpec = spec_of(self.pipeline)
        self.running: list[Running] = []

    @contextmanager
    def at(self) -> Iterator[At]:
        with (
            Connect(self.spec.connect_url) as connect,
            psycopg.connect(self.source_dsn, autocommit=True) as source,
        ):
            yield At(connect, source)

    def register(self) -> None:
        """Target tables, then the connector, until its task runs."""
        self.make_tables()
        with self.at() as at:
            register.apply(self.spec, at, register.make_plan(self.spec, at))

    def make_tables(self) -> None:
        options = "-c search_path=pg_catalog"
        with (
            psycopg.connect(self.source_dsn, options=options) as source,
            psycopg.connect(self.target_dsn, options=options) as target,
        ):
            schema.apply(target, schema.plan(source, target, self.pipeline.source.tables))

    def restart_connector(self) -> None:
        with self.at() as at:
            operate.restart(self.spec, at)

    def start(self, *arguments: str, **environment: str) -> Running:
        """`tailrace run` for the one sink, in the foreground of a process of its own."""
        return self._spawn(["--sink", self.SINK, *arguments], environment)

    def start_daemon(self, **environment: str) -> Running:
        return self._spawn([], environment)

    def _spawn(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Running:
        log = self.folder / f"run-{len(self.running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailrace", "run", "-c", str(self.file), *arguments],
                stdout=out,
                stderr=out,
                env=os.environ | environment,
            )
        self.running.append(Running(process, log))
        return self.running[-1]

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`tailrace WORDS --config FILE`, as a script would run it: output captured."""
        return subprocess.run(
            [sys.executable, "-m", "tailrace", *words, "--config", str(self.file)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=120,
        )

    def sql(self, statement: str, *values: Any) -> None:
        """In the source, committed."""
        with psycopg.connect(self.source_dsn) as connection:
            connection.execute(statement.encode(), values or None)

    def target_sql(self, statement: str) -> None:
        """In the target, committed."""
        with psycopg.connect(self.target_dsn) as connection:
            connection.execute(statement.encode())

    def target(self) -> psycopg.Connection[Any]:
        """A connection to the target that commits each statement."""
        return psycopg.connect(self.target_dsn, autocommit=True)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """From the target."""
        with psycopg.connect(self.target_dsn) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def offsets(self) -> dict[tuple[str, int], int]:
        found = self.rows("SELECT topic, partition, next_offset FROM tailrace.offsets")
        return {(topic, partition): offset for topic, partition, offset in found}

    def wait_offset(self, topic: str, offset: int, partition: int = 0) -> None:
        """Until the sink is durably at this offset; shows the log of the last worker if not."""
        try:
            eventually(lambda: self.offsets().get((topic, partition), 0) >= offset, 60)
        except AssertionError:
            raise AssertionError(f"{self.offsets()}: {self.running[-1].text()[-3000:]}") from None

    def differences(self) -> list[TableResult]:
        with (
            psycopg.connect(self.source_dsn) as source,
            psycopg.connect(self.target_dsn) as target,
        ):
            results = verify(source, target, self.pipeline.source.tables)
        return [result for result in results if not result.equal]

    def wait_equal(self, within_s: float = 60.0) -> None:
        """Until source and target are equal, row by row; shows what differs if they never are."""
        last: list[TableResult] = []

        def equal() -> bool:
            nonlocal last
            last = self.differences()
            return not last

        try:
            eventually(equal, within_s)
        except AssertionError:
            logs = "\n".join(running.text()[-3000:] for running in self.running)
            raise AssertionError(f"still different: {last}\n{logs}") from None

    def group(self) -> str:
        return group_of(self.pipeline, self.SINK)

    def close(self) -> None:
        """Nothing of it stays: processes, connector, slot, publication."""
        for running in self.running:
            if running.process.poll() is None:
                running.kill()
        with self.at() as at:
            operate.delete(self.spec, at, drop_slot=True, drop_publication=True)
