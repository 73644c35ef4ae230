"""How fast prepared events get into Postgres: through the worker, again, and by bare COPY."""

import time
from pathlib import Path

import psycopg

from bench import data
from bench.lab import STATEMENTS, BenchFailed, Lab
from bench.runs import Run, watched
from tailrace.config import load
from tailrace.wiring import group_of

COPY_ROWS = 10_000  # a commit, as many as a batch of the worker


def ours(lab: Lab, prefix: str, events: int) -> Run:
    """A worker that has applied nothing yet, from its first poll to the last row durable."""
    lab.new_table()
    return _worker(lab, "tailrace", *lab.new_sink(prefix), events)


def copy(lab: Lab, events: int) -> Run:
    """The floor: the same rows, laid ready, by COPY in commits of the worker's size."""
    lab.new_table()
    lab.tell("COPY", f"writes {events:,} rows")
    starts = range(0, events, COPY_ROWS)
    blocks = [data.copy_lines(range(at, min(at + COPY_ROWS, events))) for at in starts]
    with watched(lab, "COPY") as run, psycopg.connect(lab.target) as connection:
        began_s = time.monotonic()
        for block in blocks:
            with connection.cursor().copy(STATEMENTS["copy_in"]) as copying:
                copying.write(block)
            connection.commit()
        run.events, run.seconds = events, time.monotonic() - began_s
    lab.expect_rows(events)
    return run


def replays(lab: Lab, prefix: str, events: int) -> tuple[Run, Run, Run]:
    """
    The same events written to a topic three times, and drained each time: new to the sink; known
    to Redis; and, with Redis emptied, known to the sink's guards alone.

    Raises BenchFailed if a row was written again.
    """
    lab.new_table()
    file, sink = lab.new_sink(prefix)
    group = group_of(load(file, env={}), sink)
    rows = range(events)
    lab.produce(prefix, data.events(rows, prefix), events)
    first = _worker(lab, "first time", file, sink, events)
    versions = lab.target_value("row_versions")
    lab.produce(prefix, data.events(rows, prefix), events)
    by_keys = _worker(lab, "repeats, keys", file, sink, events, ended="duplicate")
    lab.produce(prefix, data.events(rows, prefix), events)
    lab.forget_keys(group)
    by_guards = _worker(lab, "repeats, no keys", file, sink, events, ended="stale")
    if versions != lab.target_value("row_versions"):
        raise BenchFailed("repeats wrote rows of the target again")
    return first, by_keys, by_guards


def _worker(
    lab: Lab, what: str, file: Path, sink: str, events: int, *, ended: str = "written"
) -> Run:
    lab.settle()
    lab.tell(what, f"drains {events:,} events")
    with watched(lab, what) as run:
        found = lab.measured(lab.start_worker(file, sink, events))
        run.events, run.seconds = found["events"], found["seconds"]
        run.cpu_us["worker"] = found["cpu_s"] / run.events * 1e6
        run.peak_mib = found["peak_mib"]
    if found["ended"][ended] != events:
        raise BenchFailed(f"{what}: not all of {events:,} events ended {ended}: {found['ended']}")
    lab.expect_rows(events)
    return run
