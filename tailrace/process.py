"""
One worker as a process: what `tailrace run --sink NAME` does, alone or under the daemon.

The first SIGTERM or SIGINT stops it after the batch in hand, a second one at once. Under the
daemon it writes its status, a line of JSON, to the pipe of that name; a daemon that is gone is
seen by the broken pipe, and means the same as SIGTERM.
"""

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from consumer.errors import Diverged, Fenced, LogLost, Refused, Stopped, Unreachable
from consumer.facts import Applied, Fact, Polled
from consumer.metrics import Status, Tally
from consumer.ports import Observer
from consumer.settled import Settled
from tailrace.config import Pipeline
from tailrace.exits import FAILED, INTERRUPTED, TRY_AGAIN, USAGE, Problem
from tailrace.journal import Journal
from tailrace.wiring import Reached, wire

STATUS_EVERY_S = 0.5
SPANS_A_REPORT = 2_000  # some 200 kB; what is left goes with the next one
STATUS_FD = "TAILRACE_STATUS_FD"


class Report(msgspec.Struct):
    """A line on the status pipe: how the worker is, and the batches that were settled since."""

    status: Status
    settled: list[Settled]


class Worker:
    """The sink `name` of a pipeline in this process."""

    def __init__(self, pipeline: Pipeline, name: str, number: int = 0) -> None:
        self._pipeline = pipeline
        self._name = name
        self._number = number
        self._stop = threading.Event()
        self._tally = Tally(name, number, os.getpid())
        self._journal = Journal(name, number)
        self._listeners: list[Observer] = [self._tally, self._journal]
        self._reached: Reached = lambda step: None

    def status(self) -> Status:
        return self._tally.status()

    def settled(self, topic: str, partition: int, offset: int) -> list[Settled]:
        """The batches that held this record, newest first, as far as they are remembered."""
        return self._tally.settled.find(topic, partition, offset)

    def run(self, *, instance: str | None, reached: Reached) -> None:
        """Until a signal. Raises Problem for what a person can mend."""
        with _signals(self._stop), _as_problem(self._journal), self._traced():
            if STATUS_FD in os.environ:
                self._report_to(int(os.environ[STATUS_FD]))
            self._reached = reached
            wired = wire(
                self._pipeline,
                self._name,
                self._observe,
                self._stop.is_set,
                instance=instance,
                reached=reached,
            )
            _tune()
            try:
                wired.worker.run()
            finally:
                wired.close()
            self._journal.drained(self.status())

    def _observe(self, fact: Fact) -> None:
        for listener in self._listeners:
            listener(fact)
        if isinstance(fact, Polled) and fact.records:
            self._reached("polled")
        elif isinstance(fact, Applied):
            self._reached("acknowledged")

    @contextmanager
    def _traced(self) -> Iterator[None]:
        """Raises Problem (TR-RUN-007) if spans are asked for that nobody here can make."""
        url = self._pipeline.log.traces
        if not url and "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ:
            yield
            return
        try:
            from tailrace.traces import Traces, exporter
        except ImportError as error:
            sentence = f"Spans are asked for, but {error.name} is missing: `tailrace[otel]` has it."
            raise Problem("TR-RUN-007", sentence, exit_code=USAGE) from error
        traces = Traces(self._pipeline.name, self._name, self._number, exporter(url))
        self._listeners.append(traces)
        try:
            yield
        finally:
            traces.close()

    def _report_to(self, pipe: int) -> None:
        def report() -> None:
            reported = 0
            while True:
                reported, batches = self._tally.settled.after(reported, SPANS_A_REPORT)
                try:
                    _write(pipe, msgspec.json.encode(Report(self.status(), batches)) + b"\n")
                except OSError:
                    self._stop.set()
                    return
                threading.Event().wait(STATUS_EVERY_S)

        threading.Thread(target=report, name="status", daemon=True).start()


def _write(pipe: int, line: bytes) -> None:
    """All of it: a signal may cut a write short."""
    while line:
        line = line[os.write(pipe, line) :]


def _tune() -> None:
    """What was imported stays; records come by the ten thousand, so collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _as_problem(journal: Journal) -> Iterator[None]:
    """What the loop ends with, as a sentence and an exit code."""
    try:
        yield
    except Stopped as error:
        journal.left(str(error))
    except Unreachable as error:
        raise Problem("TR-KFK-001", f"{error}", exit_code=TRY_AGAIN) from error
    except Fenced as error:
        raise Problem("TR-RUN-001", f"{error}: start again", exit_code=TRY_AGAIN) from error
    except Refused as error:
        raise Problem("TR-RUN-002", str(error), exit_code=FAILED) from error
    except LogLost as error:
        raise Problem("TR-RUN-003", str(error), exit_code=FAILED) from error
    except Diverged as error:
        raise Problem("TR-RUN-004", str(error), exit_code=FAILED) from error
