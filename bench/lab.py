"""What a measurement works with: the stack, databases, topics with prepared events, workers."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import kafka
import kafka.admin
import psycopg
import redis
import yaml
from psycopg import sql

from bench import data
from devstack import Endpoints, Stack
from sinks.target import load_statements
from tailrace import schema
from tailrace.databases import make_database
from tailrace.progress import Listener

STATEMENTS = load_statements(Path(__file__).with_name("statements.sql"))
PLACEHOLDER = "unchanged-5f0c2f6f4f0b9d1e"
TELL_EVERY_S = 2
LOOK_EVERY_S = 0.01
WITHIN_S = 600


class BenchFailed(Exception):
    """A measurement could not be made; says why."""


@dataclass
class Lab:
    """
    One run of the bench: two databases, and topics whose names begin with `name`.

    `tell` hears what is being done.
    """

    stack: Stack
    at: Endpoints
    tell: Listener
    name: str = "bench"
    source: str = field(init=False)
    target: str = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.source = make_database(self.at.source, self.name)
        self.target = make_database(self.at.target, self.name)
        with psycopg.connect(self.source) as connection:
            connection.execute(STATEMENTS["make_source"])

    def close(self) -> None:
        """Drops the databases."""
        for server in (self.at.source, self.at.target):
            _drop_database(server, self.name)

    def new_table(self) -> None:
        """The target's table made anew, as `tailrace schema apply` makes it; then a checkpoint."""
        options = "-c search_path=pg_catalog"
        with (
            psycopg.connect(self.source, options=options) as source,
            psycopg.connect(self.target, options=options) as target,
        ):
            target.execute(STATEMENTS["drop_target"])
            target.commit()
            schema.apply(target, schema.plan(source, target, [data.TABLE]))
        self.settle()

    def settle(self) -> None:
        """No measurement pays for the dirty pages of the one before."""
        for dsn in (self.source, self.target):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("CHECKPOINT")

    def new_sink(self, prefix: str) -> tuple[Path, str]:
        """A pipeline file with a sink that has applied nothing yet, and the sink's name."""
        name = f"run{next(self._numbers)}"
        file = self.stack.folder / f"{prefix}.{name}.yaml"
        pipeline = {
            "pipeline": prefix,
            "source": {
                "dsn": self.source,
                "tables": [data.TABLE],
                "placeholder": PLACEHOLDER,
                "password_reference": f"${{file:{self.at.secrets}:source.password}}",
            },
            "connect": {"url": self.at.connect},
            "kafka": {"bootstrap": self.at.kafka},
            "redis": {"url": self.at.redis},
            "sinks": {name: {"type": "postgres", "dsn": self.target}},
            "health": {"port": 0},
        }
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(pipeline))
        return file, name

    def start_worker(self, file: Path, sink: str, *wanted: int) -> subprocess.Popen[str]:
        """Starts `bench.worker` on a sink."""
        words = [sys.executable, "-m", "bench.worker", str(file), sink, *map(str, wanted)]
        with self._worker_log.open("a") as log:
            return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)

    def measured(self, worker: subprocess.Popen[str]) -> dict[str, Any]:
        """What a worker measured, once it has ended."""
        try:
            answer, _ = worker.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            discard(worker)
            raise BenchFailed(f"a worker took over {WITHIN_S} s: {self._worker_log}") from None
        if worker.returncode or not answer:
            raise BenchFailed(f"a worker ended with {worker.returncode}: {self._worker_log}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def produce(self, prefix: str, events: Iterable[tuple[bytes, bytes]], total: int) -> None:
        """Appends to the table's topic under a prefix, one partition, made if it is not there."""
        topic = f"{prefix}.{data.TABLE}"
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.at.kafka)
        if topic not in admin.list_topics():
            admin.create_topics([kafka.admin.NewTopic(topic, 1, 1)])
        admin.close()
        producer = kafka.KafkaProducer(
            bootstrap_servers=self.at.kafka,
            compression_type="lz4",
            batch_size=262_144,
            linger_ms=5,
            acks="all",
        )
        for number, (key, value) in enumerate(events):
            producer.send(topic, key=key, value=value)
            if number % 10_000 == 0:
                self.tell(topic, f"writing {number:,} of {total:,} events")
        producer.flush()
        producer.close()
        self.tell(topic, f"{total:,} events are there")

    def forget_keys(self, group: str) -> None:
        """Every idempotency key of a sink is gone."""
        client = redis.Redis.from_url(self.at.redis)
        for key in client.scan_iter(match=f"{{{group}}}:*"):
            client.delete(key)
        client.close()

    def target_value(self, statement: str, *values: object) -> Any:
        """The one value that a statement gives in the target."""
        with psycopg.connect(self.target) as connection:
            row = connection.execute(STATEMENTS[statement], values).fetchone()
        return row[0] if row else None

    def expect_rows(self, rows: int) -> None:
        """Raises BenchFailed unless the target has exactly so many: no figure for half a job."""
        found = self.target_value("count")
        if found != rows:
            raise BenchFailed(f"the target has {found:,} rows after the run, not {rows:,}")

    def await_row(self, what: str, last: int, check: Callable[[], object]) -> "Seen":
        """Waits until row `last` is visible; `check` may raise why it never will be."""
        deadline_s = told_s = time.monotonic()
        deadline_s += WITHIN_S
        with psycopg.connect(self.target, autocommit=True) as connection:
            seen = Seen(told_s, _reached(connection), told_s)
            before = seen.first_row
            while (row := _reached(connection)) < last:
                now_s = time.monotonic()
                if row > before and seen.first_row == before:
                    seen = Seen(now_s, row, now_s)
                if now_s > deadline_s:
                    raise BenchFailed(f"{what}: row {last:,} is not there after {WITHIN_S} s")
                if now_s > told_s + TELL_EVERY_S:
                    self.tell(what, f"row {row:,} of {last:,}")
                    check()
                    told_s = now_s
                time.sleep(LOOK_EVERY_S)
        return seen._replace(last_at_s=time.monotonic())

    @property
    def _worker_log(self) -> Path:
        return self.stack.folder / "worker.log"


def discard(worker: subprocess.Popen[str]) -> None:
    """Kills a worker whose figures nobody wants."""
    worker.kill()
    worker.communicate()


class Seen(NamedTuple):
    """What a reader of the target saw, on the monotonic clock: its first change, the last row."""

    first_at_s: float
    first_row: int
    last_at_s: float


def _reached(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(STATEMENTS["reached"]).fetchone()
    return int(row[0]) if row else -1


def _drop_database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)
