"""Comparisons of source and sink that somebody started here, each in a thread of its own."""

import threading
import time
from dataclasses import dataclass, field

import psycopg

from tailrace.databases import connect, why
from tailrace.exits import Problem
from tailrace.verify import TableResult, verify
from tailrace.watch.servers import Watched


@dataclass
class Run:
    """One comparison. `ended_at_s` is None while it runs; `problem`: why it came to nothing."""

    by: str
    began_at_s: float
    ended_at_s: float | None = None
    table: str = ""
    done_rows: int = 0
    expected_rows: int = 0
    results: list[TableResult] = field(default_factory=list)
    problem: str = ""


class Verifications:
    """The newest of each sink; one at a time of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, str], Run] = {}

    def newest(self, pipeline: str, sink: str) -> Run | None:
        return self._newest.get((pipeline, sink))

    def start(self, watched: Watched, sink: str, by: str) -> bool:
        """Whether it was started; False while one runs."""
        key = (watched.pipeline.name, sink)
        with self._lock:
            before = self._newest.get(key)
            if before is not None and before.ended_at_s is None:
                return False
            run = self._newest[key] = Run(by, time.time())
        threading.Thread(target=_compare, args=(watched, sink, run), daemon=True).start()
        return True


def _compare(watched: Watched, sink: str, run: Run) -> None:
    settings = watched.pipeline.sinks[sink]

    def progress(table: str, done: int, expected: int) -> None:
        run.table, run.done_rows, run.expected_rows = table, done, expected

    if not settings.tables:
        run.problem = "This sink mirrors no table, so there is nothing to compare."
        run.ended_at_s = time.time()
        return
    try:
        with (
            connect(watched.pipeline.source.dsn, "source database") as source,
            connect(settings.dsn, f"database of sink {sink}") as target,
        ):
            run.results = verify(source, target, settings.tables, progress)
    except Problem as problem:
        run.problem = problem.sentence
    except psycopg.Error as error:
        run.problem = f"A server broke it off: {why(error)}."
    finally:
        if not (run.results or run.problem):  # else it would seem that nothing differs
            run.problem = "The comparison failed; see the dashboard's log."
        run.ended_at_s = time.time()
