"""The whole chain: rows committed at the source, Debezium, Kafka, the worker, the target."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import kafka
import psycopg

from bench import data
from bench.lab import LOOK_EVERY_S, STATEMENTS, WITHIN_S, BenchFailed, Lab, Seen
from bench.runs import Run, watched
from connectors import lifecycle, operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from tailrace.config import load
from tailrace.source import spec_of
from tailrace.wiring import group_of

PREFIX = "chain"
TOPIC = kafka.TopicPartition(f"{PREFIX}.{data.TABLE}", 0)


@dataclass
class CatchUp:
    """
    A backlog through the chain: Debezium's own rate into Kafka, by the time stamps of its first
    and last record; and the rate at which its rows became visible, from that first time stamp.
    """

    into_kafka: Run
    visible: Run | None = None
    last_behind_ms: float | None = None

    @property
    def watched(self) -> Run:
        """The run during which the servers were watched."""
        return self.visible or self.into_kafka


@dataclass
class Chain:
    """A connector with a snapshot of an empty table behind it, and one sink for all rounds."""

    lab: Lab
    spec: ConnectorSpec
    at: At
    file: Any
    sink: str
    rows: int = 0
    worker: subprocess.Popen[str] | None = field(default=None)

    def insert(self, rows: int) -> None:
        """Commits rows at the source, a thousand to a transaction."""
        told_s = 0.0
        for first in range(self.rows, self.rows + rows, data.ROWS_PER_TRANSACTION):
            last = min(first + data.ROWS_PER_TRANSACTION, self.rows + rows) - 1
            self.at.source.execute(STATEMENTS["insert_rows"], [first, last])
            if time.monotonic() > told_s + 2:
                told_s = time.monotonic()
                self.lab.tell("source", f"committing row {first:,}")
        self.rows += rows

    def start_worker(self) -> None:
        """Returns once it has taken its partition over."""
        group = group_of(load(self.file, env={}), self.sink)
        claims = self.lab.target_value("claims", group)
        self.worker = self.lab.start_worker(self.file, self.sink)
        deadline_s = time.monotonic() + WITHIN_S
        while self.lab.target_value("claims", group) == claims:
            if self.worker.poll() is not None or time.monotonic() > deadline_s:
                raise BenchFailed("the worker does not take its partition over: see worker.log")
            time.sleep(LOOK_EVERY_S)

    def stop_worker(self) -> None:
        """After the batch in hand."""
        if self.worker is not None:
            self.worker.terminate()
            self.lab.measured(self.worker)
            self.worker = None

    def await_all(self, what: str) -> Seen:
        """Until every row that was inserted is visible in the target."""

        def check() -> None:
            lifecycle.refuse_failed(self.spec.name, lifecycle.states(*self._named))
            if self.worker is not None and self.worker.poll() is not None:
                raise BenchFailed("the worker ended: see worker.log")

        return self.lab.await_row(what, self.rows - 1, check)

    @property
    def _named(self) -> tuple[Connect, str]:
        return self.at.connect, self.spec.name

    def catch_up(self, rows: int, *, with_worker: bool) -> CatchUp:
        """Rows are committed while the connector is stopped; then it starts."""
        lifecycle.stop(self.spec, self.at)
        before = _end(self.lab)
        self.insert(rows)
        self.lab.settle()
        if not with_worker:
            self.stop_worker()
        what = "chain" if with_worker else "Debezium alone"
        with watched(self.lab, what) as run:
            lifecycle.start(self.spec, self.at)
            if with_worker:
                seen = self.await_all(what)
                visible_s = time.time() - (time.monotonic() - seen.last_at_s)
            else:
                _await_end(self.lab, before + rows)
            first_s, last_s = _stamps(self.lab, before, before + rows - 1)
            run.events = rows
            run.seconds = (visible_s if with_worker else last_s) - first_s
        if with_worker:
            debezium = Run("into Kafka", rows, last_s - first_s)
            return CatchUp(debezium, run, (visible_s - last_s) * 1000)
        self.start_worker()
        self.await_all("worker catches up")
        return CatchUp(run)


@contextmanager
def running(lab: Lab) -> Iterator[Chain]:
    """Connector and worker, on tables of their own; both are gone afterwards."""
    lab.new_table()
    file, sink = lab.new_sink(PREFIX)
    spec = spec_of(load(file, env={}))
    with (
        Connect(lab.at.connect) as connect,
        psycopg.connect(lab.source, autocommit=True) as source,
    ):
        chain = Chain(lab, spec, At(connect, source), file, sink)
        lab.tell("chain", "registering the connector")
        register.apply(spec, chain.at, register.make_plan(spec, chain.at))
        try:
            chain.insert(1)  # Connect makes the topic for it, and the worker waits for the topic
            chain.start_worker()
            yield chain
        finally:
            if chain.worker is not None:
                chain.worker.kill()
                chain.worker.wait()
            operate.delete(spec, chain.at, drop_slot=True, drop_publication=True)


def _end(lab: Lab) -> int:
    with _consumer(lab) as consumer:
        return int(consumer.end_offsets([TOPIC])[TOPIC])


def _await_end(lab: Lab, wanted: int) -> None:
    deadline_s, told_s = time.monotonic() + WITHIN_S, 0.0
    with _consumer(lab) as consumer:
        while (end := int(consumer.end_offsets([TOPIC])[TOPIC])) < wanted:
            now_s = time.monotonic()
            if now_s > deadline_s:
                raise BenchFailed(f"Debezium wrote up to offset {end:,}, not {wanted:,}")
            if now_s > told_s + 2:
                lab.tell("Debezium alone", f"offset {end:,} of {wanted:,}")
                told_s = now_s
            time.sleep(LOOK_EVERY_S * 5)


def _stamps(lab: Lab, *offsets: int) -> list[float]:
    """When the producer sent the records at these offsets, in seconds since 1970."""
    stamps = []
    with _consumer(lab) as consumer:
        for offset in offsets:
            consumer.seek(TOPIC, offset)
            found: Any = {}
            while not found:
                found = consumer.poll(1000, max_records=1)
            stamps.append(found[TOPIC][0].timestamp / 1000)
    return stamps


@contextmanager
def _consumer(lab: Lab) -> Iterator[kafka.KafkaConsumer]:
    consumer = kafka.KafkaConsumer(bootstrap_servers=lab.at.kafka, enable_auto_commit=False)
    consumer.assign([TOPIC])
    try:
        yield consumer
    finally:
        consumer.close()
