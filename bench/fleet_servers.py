"""200 pipelines of 10 partitions on the servers of one stack, and a hand that keeps them moving."""

import itertools
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import kafka
import kafka.admin
import msgspec
import psycopg
import yaml
from psycopg import sql

from bench import data
from bench.lab import PLACEHOLDER, STATEMENTS, Lab
from connectors.render import HEARTBEAT, heartbeat_query
from connectors.statements import statements
from consumer.metrics import Place, Status
from tailrace.config import Pipeline, load
from tailrace.health import Health
from tailrace.source import spec_of
from tailrace.wiring import group_of

PARTITIONS = 10
RECORDS = 3  # in each partition before it begins
BUSY_SHARE = 10  # one pipeline of so many gets records all the time
TOPICS_AT_A_TIME = 100
BEAT_EVERY_S = 5.0


@dataclass
class Fleet:
    """`pipelines` share the servers of a lab; `folder` has a file for each."""

    lab: Lab
    count: int
    folder: Path
    pipelines: list[Pipeline] = field(default_factory=list)
    slots: int = 0
    moved: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def make(self) -> None:
        """Topics, records, offsets, slots, heartbeats, workers' statuses and files."""
        self.lab.new_table()
        self._health = Health(
            "127.0.0.1", 0, self._statuses, lambda *_: [], lambda: self._ended.is_set()
        )
        self._write_files()
        self._make_topics()
        self._producer = kafka.KafkaProducer(
            bootstrap_servers=self.lab.at.kafka, compression_type="lz4", linger_ms=50, acks="all"
        )
        self._source = psycopg.connect(self.lab.source, autocommit=True)
        self._target = psycopg.connect(self.lab.target, autocommit=True)
        self._make_source()
        self._events = itertools.cycle(data.events(range(1000), "fleet"))
        self._append(self.pipelines, RECORDS)
        self._apply(self.pipelines, RECORDS)
        self._beat()
        self._thread = threading.Thread(target=self._move, name="motion", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the motion; slots go, since a database with one cannot be dropped."""
        self._ended.set()
        if self._thread:
            self._thread.join()
            self._producer.close()
        with psycopg.connect(self.lab.source, autocommit=True) as connection:
            connection.execute(STATEMENTS["drop_slots"])
        self.lab.close()

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*"):
            old.unlink()
        at = self.lab.at
        for number in range(self.count):
            name = f"fleet{number:03d}"
            described = {
                "pipeline": name,
                "source": {
                    "dsn": self.lab.source,
                    "tables": [data.TABLE],
                    "placeholder": PLACEHOLDER,
                    "password_reference": f"${{file:{at.secrets}:source.password}}",
                },
                "connect": {"url": at.connect},
                "kafka": {"bootstrap": at.kafka},
                "redis": {"url": at.redis},
                "sinks": {f"mirror{number:03d}": {"type": "postgres", "dsn": self.lab.target}},
                "dashboard": {"port": 0, "workers": [self._health.url]},
            }
            file = self.folder / f"{name}.yaml"
            file.touch(mode=0o600)
            file.write_text(yaml.safe_dump(described))
            self.pipelines.append(load(file, env={}))

    def _make_topics(self) -> None:
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.lab.at.kafka)
        topics = [kafka.admin.NewTopic(_topic(one), PARTITIONS, 1) for one in self.pipelines]
        topics += [kafka.admin.NewTopic(_beats(one), 1, 1) for one in self.pipelines]
        for first in range(0, len(topics), TOPICS_AT_A_TIME):
            admin.create_topics(topics[first : first + TOPICS_AT_A_TIME], timeout_ms=60_000)
            self.lab.tell("topics", f"made {first:,} of {len(topics):,}")
        admin.close()

    def _make_source(self) -> None:
        """A heartbeat row for each pipeline, and a slot for as many as the server allows."""
        made = statements("prepare.sql")
        schema = spec_of(self.pipelines[0]).control_schema
        self._source.execute(made["schema"].format(schema=sql.Identifier(schema)))
        table = sql.Identifier(schema, HEARTBEAT)
        self._source.execute(made["heartbeat"].format(table=table))
        self._beat_queries = [heartbeat_query(spec_of(one)) for one in self.pipelines]
        row = self._source.execute("SELECT current_setting('max_replication_slots')::int")
        allowed: int = (row.fetchone() or (0,))[0]
        for one in self.pipelines[:allowed]:
            self._source.execute(STATEMENTS["make_slot"], [one.name])
            self.slots += 1
            if self.slots % 50 == 0:
                self.lab.tell("slots", f"made {self.slots} of {min(allowed, self.count)}")

    def _append(self, pipelines: list[Pipeline], records: int) -> None:
        for one, partition, _ in itertools.product(pipelines, range(PARTITIONS), range(records)):
            key, value = next(self._events)
            self._producer.send(_topic(one), key=key, value=_now(value), partition=partition)
        self._producer.flush()

    def _apply(self, pipelines: list[Pipeline], records: int) -> None:
        """As if their sinks had applied so many more of each partition."""
        values = [
            (group_of(one, next(iter(one.sinks))), _topic(one), partition, records)
            for one in pipelines
            for partition in range(PARTITIONS)
        ]
        with self._target.cursor() as cursor:
            cursor.executemany(STATEMENTS["advance"], values)

    def _beat(self) -> None:
        for one, query in zip(self.pipelines, self._beat_queries, strict=True):
            self._source.execute(query.encode())
            _, value = next(self._events)
            self._producer.send(_beats(one), value=_now(value), partition=0)
        self._producer.flush()

    def _move(self) -> None:
        """What was appended is applied a second later, so that something waits at every look."""
        busy = self.pipelines[::BUSY_SHARE]
        beat_at_s = time.monotonic() + BEAT_EVERY_S
        while not self._ended.wait(1.0):
            self._apply(busy, 1 if self.moved else 0)
            self._append(busy, 1)
            self.moved += len(busy) * PARTITIONS
            if time.monotonic() > beat_at_s:
                beat_at_s += BEAT_EVERY_S
                self._beat()

    def _statuses(self) -> list[Status]:
        now_s = time.time()
        return [
            Status(
                sink=next(iter(one.sinks)),
                pid=1,
                started_at_s=now_s - 60,
                ticked_at_s=now_s,
                is_assigned=True,
                places=[Place(_topic(one), number, RECORDS) for number in range(PARTITIONS)],
            )
            for one in self.pipelines
        ]


def _topic(one: Pipeline) -> str:
    return f"{one.name}.{data.TABLE}"


def _beats(one: Pipeline) -> str:
    return f"{one.name}.tailrace.{HEARTBEAT}"


def _now(value: bytes) -> bytes:
    """The event as if it were committed now."""
    event = msgspec.json.decode(value)
    event["source"]["ts_us"] = time.time_ns() // 1000
    return msgspec.json.encode(event)
