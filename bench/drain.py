"""How fast a prepared topic gets into Postgres: through the worker, and by bare COPY."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from bench import data
from bench.lab import Lab
from bench.machine import servers_cpu_s

COPY_ROWS = 10_000  # a commit, as many as a batch of the worker


@dataclass
class Run:
    """One measured run. CPU in microseconds an event by process, WAL in bytes an event."""

    what: str
    events: int = 0
    seconds: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)
    wal_bytes: float = 0.0
    peak_mib: float | None = None
    load: float = 0.0

    @property
    def per_s(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


@contextmanager
def watched(lab: Lab, what: str) -> Iterator[Run]:
    """Adds to the run what its servers used, the log its target wrote, the machine's load."""
    run = Run(what)
    before, wal = servers_cpu_s(lab.stack), _wal_bytes(lab)
    yield run
    after = servers_cpu_s(lab.stack)
    run.load = os.getloadavg()[0]
    if run.events:
        run.wal_bytes = (_wal_bytes(lab) - wal) / run.events
        run.cpu_us |= {name: (after[name] - before[name]) / run.events * 1e6 for name in before}
    lab.tell("drain", f"{what}: {run.per_s:,.0f} events/s")


def ours(lab: Lab, prefix: str, events: int) -> Run:
    """A worker that has applied nothing yet, from its first poll to the last row durable."""
    lab.new_table()
    lab.tell("drain", f"tailrace drains {events:,} events")
    with watched(lab, "tailrace") as run:
        measure(lab, run, *lab.sink(prefix), events)
    lab.expect_rows(events)
    return run


def measure(lab: Lab, run: Run, file: object, sink: str, events: int) -> None:
    """One worker until it has so many events more."""
    found = lab.measured(lab.worker(file, sink, events))  # type: ignore[arg-type]
    run.events, run.seconds = found["events"], found["seconds"]
    run.cpu_us["worker"] = found["cpu_s"] / run.events * 1e6
    run.peak_mib = found["peak_mib"]


def copy(lab: Lab, events: int) -> Run:
    """The bound: the same rows, laid ready, by COPY in commits of the worker's size."""
    lab.new_table()
    lab.tell("drain", f"COPY writes {events:,} rows")
    starts = range(0, events, COPY_ROWS)
    blocks = [
        data.copy_lines(range(start, min(start + COPY_ROWS, events)), guards=True)
        for start in starts
    ]
    with watched(lab, "COPY") as run, psycopg.connect(lab.target) as connection:
        statement = f"COPY {data.TABLE} FROM STDIN".encode()
        began_s = time.monotonic()
        for block in blocks:
            with connection.cursor().copy(statement) as copying:
                copying.write(block)
            connection.commit()
        run.events, run.seconds = events, time.monotonic() - began_s
    lab.expect_rows(events)
    return run


def _wal_bytes(lab: Lab) -> int:
    return int(lab.target_value("SELECT pg_current_wal_insert_lsn() - '0/0'"))
