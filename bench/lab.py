"""What a measurement works with: the stack, databases, topics with prepared events, workers."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import kafka
import kafka.admin
import psycopg
import yaml
from psycopg import sql

from bench import data
from devstack import Endpoints, Stack
from tailrace import schema
from tailrace.progress import Listener

PLACEHOLDER = "unchanged-5f0c2f6f4f0b9d1e"
DATABASE = "bench"
TELL_EVERY = 50_000


class BenchFailed(Exception):
    """A measurement could not be made; says why."""


@dataclass
class Lab:
    """One run of the bench. `tell` hears what is being done."""

    stack: Stack
    at: Endpoints
    tell: Listener
    source: str = field(init=False)
    target: str = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.source = _new_database(self.at.source)
        self.target = _new_database(self.at.target)
        with psycopg.connect(self.source) as connection:
            statement = sql.SQL("CREATE TABLE {} ({})")
            columns = sql.SQL(data.COLUMNS)
            table = sql.Identifier(*data.TABLE.split("."))
            connection.execute(statement.format(table, columns))
        self.new_table()

    def new_table(self) -> None:
        """The target's table made anew, as `tailrace schema apply` makes it; then a checkpoint."""
        options = "-c search_path=pg_catalog"
        with (
            psycopg.connect(self.source, options=options) as source,
            psycopg.connect(self.target, options=options) as target,
        ):
            target.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_table()))
            target.commit()
            schema.apply(target, schema.plan(source, target, [data.TABLE]))
        self.settle()

    def settle(self) -> None:
        """No measurement pays for the dirty pages of the one before."""
        with psycopg.connect(self.target, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def sink(self, topic_prefix: str) -> tuple[Path, str]:
        """A pipeline file with a sink that has applied nothing yet, and the sink's name."""
        name = f"run{next(self._numbers)}"
        file = self.stack.folder / f"{topic_prefix}.{name}.yaml"
        pipeline = {
            "pipeline": topic_prefix,
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
        }
        file.write_text(yaml.safe_dump(pipeline))
        file.chmod(0o600)
        return file, name

    def worker(self, file: Path, sink: str, *wanted: int) -> subprocess.Popen[str]:
        """Starts `bench.worker` on a sink."""
        words = [sys.executable, "-m", "bench.worker", str(file), sink, *map(str, wanted)]
        log = (self.stack.folder / "worker.log").open("a")
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)

    def measured(self, worker: subprocess.Popen[str]) -> dict[str, Any]:
        """What a worker measured, once it has ended."""
        answer, _ = worker.communicate()
        if worker.returncode or not answer:
            log = self.stack.folder / "worker.log"
            raise BenchFailed(f"the worker ended with {worker.returncode}; its log is {log}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def produce(self, topic: str, events: Iterable[tuple[bytes, bytes]], total: int) -> None:
        """Makes a topic of one partition with these events, lz4, as Connect would."""
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.at.kafka)
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
            if number % TELL_EVERY == 0:
                self.tell("events", f"writing {number:,} of {total:,} to {topic}")
        producer.flush()
        producer.close()
        self.tell("events", f"wrote {total:,} to {topic}")

    def target_value(self, query: str) -> Any:
        """The one value that a query on the target gives."""
        with psycopg.connect(self.target) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def expect_rows(self, rows: int) -> None:
        """Raises BenchFailed unless the target has exactly so many: no figure for half a job."""
        found = self.target_value(f"SELECT count(*) FROM {data.TABLE}")  # noqa: S608 - a constant
        if found != rows:
            raise BenchFailed(f"the target has {found:,} rows after the run, not {rows:,}")


Ask = Callable[[], Any]


def _table() -> sql.Identifier:
    return sql.Identifier(*data.TABLE.split("."))


def _new_database(server: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return server.rpartition("/")[0] + "/" + DATABASE
