"""
The whole pipeline on one machine, under load, with a kill and a restart in the middle, and the
proof at the end: `tailrace demo`. What it shows while it runs is in `demo_view.py`.
"""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import yaml

from connectors import operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from consumer.metrics import Status
from devstack import Endpoints, Stack
from devstack.process import free_ports, port_is_free
from examples.shop import database
from examples.shop.load import Load, Report
from tailrace import schema
from tailrace.config import Dashboard, Pipeline, load
from tailrace.databases import make_database
from tailrace.exits import Problem
from tailrace.progress import Listener
from tailrace.source import spec_of
from tailrace.verify import TableResult, verify

NAME = "shop"
SINK = "mirror"
WORKERS = 2
RATE_PER_S = 200.0
DRAIN_WITHIN_S = 120.0
SAMPLE_EVERY_S = 0.5
KILL_AT, RESTART_AT = 0.3, 0.6  # of the time under load


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a running demo: the load so far, and each worker."""

    elapsed_s: float
    report: Report
    workers: list[Status]


@dataclass
class Story:
    """What has happened, for the view and for the figures at the end."""

    events: list[tuple[float, str]] = field(default_factory=list)
    results: list[TableResult] = field(default_factory=list)
    lives: dict[int, Status] = field(default_factory=dict)  # last status of each process, by pid
    report: Report = field(default_factory=Report)
    drained_s: float = 0.0

    def tell(self, at_s: float, what: str) -> None:
        self.events.append((at_s, what))

    def ended(self) -> dict[str, int]:
        """Records by how they ended, over all processes, killed ones included."""
        total: Counter[str] = Counter()
        for status in self.lives.values():
            total.update(status.ended)
        return dict(total)

    def is_proved(self) -> bool:
        return bool(self.results) and all(result.equal for result in self.results)


class Demo:
    """One run in `folder`. The stack and everything else that was started is stopped by `close`."""

    def __init__(self, folder: Path, seconds: float, say: Listener) -> None:
        self._folder = folder
        self._seconds = seconds
        self._say = say
        self._stack = Stack(folder / "stack")
        self._running: list[subprocess.Popen[bytes]] = []
        self._log = folder / "run.log"
        self._log.unlink(missing_ok=True)
        self.story = Story()

    def prepare(self) -> None:
        """Stack, databases, connector, daemon; returns once the first rows are in the target."""
        self._stack.reset()
        endpoints = self._stack.up(self._say)
        self._say("shop", "creating two databases and filling one")
        source = make_database(endpoints.source, NAME)
        target = make_database(endpoints.target, f"{NAME}_{SINK}")
        with psycopg.connect(source) as connection:
            database.create(connection)
            database.fill(connection)
        self._file = self._write_config(endpoints, source, target)
        self.pipeline: Pipeline = load(self._file, env={})
        self._spec = spec_of(self.pipeline)
        with self._databases() as (ours, theirs):
            schema.apply(theirs, schema.plan(ours, theirs, database.TABLES))
        with self._at() as at:
            self._say("connector", "registering")
            register.apply(self._spec, at, register.make_plan(self._spec, at))
        self._say("workers", f"starting {WORKERS}")
        self._start("run")
        self._start("dashboard", "--history", str(self._folder / "history.sqlite"))
        self._say("snapshot", "waiting until the target equals the source")
        self._until_equal(DRAIN_WITHIN_S)

    def run(self) -> Iterator[Sample]:
        """A sample every half second while the load runs, then until all of it has arrived."""
        began_s = time.monotonic()
        self.story.tell(0.0, f"dashboard: {self.dashboard}")
        acts = [(KILL_AT, self._kill_a_worker), (RESTART_AT, self._restart_connector)]
        with Load(self.pipeline.source.dsn, rate=RATE_PER_S) as load:
            while (elapsed_s := time.monotonic() - began_s) < self._seconds:
                if acts and elapsed_s >= acts[0][0] * self._seconds:
                    threading.Thread(target=acts.pop(0)[1], args=(began_s,), daemon=True).start()
                yield self._sample(elapsed_s, load.report())
                load.wait(SAMPLE_EVERY_S)
        report = load.report()
        stopped_s = time.monotonic()
        self.story.tell(stopped_s - began_s, "the load has stopped; what is under way arrives")
        while self._differing():
            if time.monotonic() - stopped_s > DRAIN_WITHIN_S:
                break
            yield self._sample(time.monotonic() - began_s, report)
        self.story.drained_s = time.monotonic() - stopped_s
        yield self._sample(time.monotonic() - began_s, report)

    def close(self, say: Listener | None = None) -> None:
        """Ends daemon, dashboard and stack; the data stays until the next run."""
        for process in self._running[::-1]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()
        self._stack.down(say or self._say)

    def _sample(self, elapsed_s: float, report: Report) -> Sample:
        workers = self._statuses()
        self.story.report = report
        self.story.lives |= {status.pid: status for status in workers if status.pid}
        return Sample(elapsed_s, report, workers)

    def _statuses(self) -> list[Status]:
        try:
            with urllib.request.urlopen(f"{self._health}/status.json", timeout=2) as answer:
                return msgspec.json.decode(answer.read(), type=list[Status])
        except OSError:
            return []

    def _kill_a_worker(self, began_s: float) -> None:
        pid = next((status.pid for status in self._statuses() if status.pid), None)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.story.tell(time.monotonic() - began_s, f"worker process {pid} killed (SIGKILL)")

    def _restart_connector(self, began_s: float) -> None:
        self.story.tell(time.monotonic() - began_s, "connector: restart asked for")
        with self._at() as at:
            operate.restart(self._spec, at)
        self.story.tell(time.monotonic() - began_s, "connector: its task runs again")

    def _differing(self) -> list[TableResult]:
        with self._databases() as (ours, theirs):
            self.story.results = verify(ours, theirs, database.TABLES)
        return [result for result in self.story.results if not result.equal]

    def _until_equal(self, within_s: float) -> None:
        until_s = time.monotonic() + within_s
        while self._differing():
            if any(process.poll() is not None for process in self._running):
                raise Problem("TR-DEM-001", f"Daemon or dashboard ended:\n{self._tail()}")
            if time.monotonic() > until_s:
                raise Problem("TR-DEM-002", f"The snapshot did not arrive:\n{self._tail()}")
            threading.Event().wait(0.2)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text().splitlines()[-15:])

    def _start(self, *words: str) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailrace", *words, "-c", str(self._file)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._running.append(process)

    def _write_config(self, endpoints: Endpoints, source: str, target: str) -> Path:
        port, dashboard_port = free_ports(2)
        if port_is_free(Dashboard().port):
            dashboard_port = Dashboard().port
        self.dashboard = f"http://127.0.0.1:{dashboard_port}/"
        self._health = f"http://127.0.0.1:{port}"
        file = self._folder / "pipeline.yaml"
        file.touch(mode=0o600)
        file.write_text(
            yaml.safe_dump(
                {
                    "pipeline": NAME,
                    "source": {
                        "dsn": source,
                        "tables": list(database.TABLES),
                        "placeholder": f"unchanged-{secrets.token_hex(12)}",
                        "password_reference": f"${{file:{endpoints.secrets}:source.password}}",
                    },
                    "connect": {"url": endpoints.connect, "partitions": WORKERS},
                    "kafka": {"bootstrap": endpoints.kafka},
                    "redis": {"url": endpoints.redis},
                    "sinks": {SINK: {"type": "postgres", "dsn": target, "workers": WORKERS}},
                    "health": {"port": port},
                    "dashboard": {"port": dashboard_port},
                },
                sort_keys=False,
            )
        )
        return file

    @contextmanager
    def _databases(self) -> Iterator[tuple[Any, Any]]:
        options = "-c search_path=pg_catalog"
        with (
            psycopg.connect(self.pipeline.source.dsn, options=options) as ours,
            psycopg.connect(self.pipeline.sinks[SINK].dsn, options=options) as theirs,
        ):
            yield ours, theirs

    @contextmanager
    def _at(self) -> Iterator[At]:
        with (
            Connect(self._spec.connect_url) as connect,
            psycopg.connect(self.pipeline.source.dsn, autocommit=True) as source,
        ):
            yield At(connect, source)


def figures(story: Story) -> dict[str, Any]:
    """What a run comes to, as numbers."""
    return {
        "transactions": story.report.committed.total(),
        "transactions_per_s": round(story.report.per_second, 1),
        "drained_in_s": round(story.drained_s, 2),
        "records": story.ended(),
        "rows_equal": sum(result.target_rows for result in story.results if result.equal),
        "rows_differing": sum(result.differing for result in story.results),
        "equal": story.is_proved(),
    }
