"""The whole chain: rows committed at the source, Debezium, Kafka, the worker, the target."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka
import psycopg

from bench import data
from bench.lab import (
    LOOK_EVERY_S,
    STATEMENTS,
    TELL_EVERY_S,
    WITHIN_S,
    BenchFailed,
    Lab,
    Seen,
    discard,
)
from bench.runs import Run, watched
from connectors import lifecycle, operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from tailrace.config import load
from tailrace.source import spec_of
from tailrace.wiring import group_of


@dataclass
class CatchUp:
    """
    A backlog through the chain: Debezium's rate into Kafka, by the time stamps of its first and
    last record; and the rate at which the rows became visible, from that first time stamp.
    """

    into_kafka: Run
    visible: Run
    last_behind_ms: float


@dataclass
class Chain:
    """A connector with a snapshot of an empty table behind it, and one sink for all rounds."""

    lab: Lab
    spec: ConnectorSpec
    at: At
    file: Path
    sink: str
    rows: int = 0
    worker: subprocess.Popen[str] | None = None

    def insert(self, rows: int) -> None:
        """Commits rows at the source, a thousand to a transaction."""
        told_s = 0.0
        for first in range(self.rows, self.rows + rows, data.ROWS_PER_TRANSACTION):
            last = min(first + data.ROWS_PER_TRANSACTION, self.rows + rows) - 1
            self.at.source.execute(STATEMENTS["insert_rows"], [first, last])
            if time.monotonic() > told_s + TELL_EVERY_S:
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
            states = lifecycle.states(self.at.connect, self.spec.name)
            lifecycle.refuse_failed(self.spec.name, states)
            if self.worker is not None and self.worker.poll() is not None:
                raise BenchFailed("the worker ended: see worker.log")

        return self.lab.await_row(what, self.rows - 1, check)

    def catch_up(self, rows: int) -> CatchUp:
        """Rows are committed while the connector is stopped; then it starts."""
        topic, offset = self._backlog(rows)
        with watched(self.lab, "source to target") as run:
            lifecycle.start(self.spec, self.at)
            seen = self.await_all(run.what)
            visible_at_s = time.time() - (time.monotonic() - seen.last_at_s)
            first_at_s, last_at_s = topic.sent_at_s(offset), topic.sent_at_s(offset + rows - 1)
            run.events, run.seconds = rows, visible_at_s - first_at_s
        into_kafka = Run("into Kafka", rows, last_at_s - first_at_s)
        return CatchUp(into_kafka, run, last_behind_ms=(visible_at_s - last_at_s) * 1000)

    def catch_up_alone(self, rows: int) -> Run:
        """The same into Kafka, with nobody who reads it; the worker follows afterwards."""
        topic, offset = self._backlog(rows)
        self.stop_worker()
        with watched(self.lab, "Debezium alone") as run:
            lifecycle.start(self.spec, self.at)
            topic.await_end(offset + rows)
            run.events = rows
            run.seconds = topic.sent_at_s(offset + rows - 1) - topic.sent_at_s(offset)
        self.start_worker()
        self.await_all("worker catches up")
        return run

    def _backlog(self, rows: int) -> tuple["_Topic", int]:
        """Rows that the connector, stopped, has not seen; the offset that the first will get."""
        lifecycle.stop(self.spec, self.at)
        topic = _Topic(self.lab, self.spec)
        offset = topic.end()
        self.insert(rows)
        self.lab.settle()
        return topic, offset


@contextmanager
def running(lab: Lab) -> Iterator[Chain]:
    """Connector and worker, on tables of their own; both are gone afterwards."""
    lab.new_table()
    file, sink = lab.new_sink(f"{lab.name}_chain")
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
                discard(chain.worker)
            operate.delete(spec, chain.at, drop_slot=True, drop_publication=True)


class _Topic:
    """The table's topic, from outside the chain."""

    def __init__(self, lab: Lab, spec: ConnectorSpec) -> None:
        self._lab = lab
        self._at = kafka.TopicPartition(f"{spec.topic_prefix}.{data.TABLE}", 0)

    def end(self) -> int:
        """The offset that the next record will get."""
        with self._consumer() as consumer:
            return int(consumer.end_offsets([self._at])[self._at])

    def await_end(self, wanted: int) -> None:
        deadline_s, told_s = time.monotonic() + WITHIN_S, 0.0
        with self._consumer() as consumer:
            while (end := int(consumer.end_offsets([self._at])[self._at])) < wanted:
                now_s = time.monotonic()
                if now_s > deadline_s:
                    raise BenchFailed(f"Debezium wrote up to offset {end:,}, not {wanted:,}")
                if now_s > told_s + TELL_EVERY_S:
                    self._lab.tell("Debezium alone", f"offset {end:,} of {wanted:,}")
                    told_s = now_s
                time.sleep(LOOK_EVERY_S * 5)

    def sent_at_s(self, offset: int) -> float:
        """When the producer sent a record, in seconds since 1970."""
        with self._consumer() as consumer:
            consumer.seek(self._at, offset)
            found: Any = {}
            while not found:
                found = consumer.poll(1000, max_records=1)
            return float(found[self._at][0].timestamp / 1000)

    @contextmanager
    def _consumer(self) -> Iterator[kafka.KafkaConsumer]:
        server = self._lab.at.kafka
        consumer = kafka.KafkaConsumer(bootstrap_servers=server, enable_auto_commit=False)
        consumer.assign([self._at])
        try:
            yield consumer
        finally:
            consumer.close()
