"""
The daemon: a process for each worker of each sink, restarted with back-off when it ends.

Crash-only: a worker keeps nothing that its sink does not have, so starting it anew is always
safe. `next_delay_s` decides; everything else here only spawns, reads and kills.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from consumer.metrics import Status
from consumer.settled import Ring, Settled
from tailrace.config import Pipeline
from tailrace.exits import FAILED, OK
from tailrace.health import not_live, not_ready
from tailrace.notify import Systemd
from tailrace.process import STATUS_FD, Report

TICK_S = 0.1
BEAT_S = 1.0  # how often systemd hears that all is well
STEADY_AFTER_S = 30.0  # a worker that lived this long begins again with the shortest delay
LONGEST_DELAY_S = 30.0
DRAIN_WITHIN_S = 25.0  # less than the 30 s that Kubernetes grants


def next_delay_s(failures: int) -> float:
    """How long to wait before the start after this many failures in a row."""
    return float(min(0.5 * 2 ** max(0, failures - 1), LONGEST_DELAY_S))


@dataclass
class Child:
    """One worker's place: its process now, if any, and what it last said."""

    sink: str
    number: int
    process: subprocess.Popen[bytes] | None = None
    status: Status | None = None
    heard_at_s: float = 0.0
    started_at_s: float = 0.0
    failures: int = 0
    starts_at_s: float = 0.0
    ended: list[int] = field(default_factory=list)
    settled: Ring = field(default_factory=Ring)


class Daemon:
    """`config` is handed to the children as it was given; `pipeline` is what it says."""

    def __init__(self, config: Path, pipeline: Pipeline) -> None:
        self._config = config
        self._children = [
            Child(name, number)
            for name, sink in pipeline.sinks.items()
            for number in range(sink.workers)
        ]
        self._log = structlog.get_logger()
        self._systemd = Systemd(os.environ)
        self._beats_at_s = 0.0
        self._stops = 0  # no Event: its lock is not for signal handlers
        self.ticked_at_s = time.time()

    def statuses(self) -> list[Status]:
        """What each worker last said; one that runs not has no pid."""
        found = []
        for child in self._children:
            status = child.status or Status(child.sink, child.number)
            alive = child.process is not None and child.process.poll() is None
            found.append(msgspec.structs.replace(status, pid=status.pid if alive else 0))
        return found

    def settled(self, topic: str, partition: int, offset: int) -> list[Settled]:
        """Batches that held this record, of every worker, as far as they are remembered."""
        found = (child.settled.find(topic, partition, offset) for child in self._children)
        return [batch for batches in found for batch in batches]

    @property
    def is_stopping(self) -> bool:
        return self._stops > 0

    def stop(self) -> None:
        """Drain; told a second time, end at once."""
        self._stops += 1

    def run(self) -> int:
        """Until `stop`; then drains. Returns the exit code."""
        self._systemd.tell("READY=1")
        while not self._stops:
            time.sleep(TICK_S)
            self.ticked_at_s = time.time()
            for child in self._children:
                self._tend(child)
            self._beat()
        self._systemd.tell("STOPPING=1", "STATUS=draining")
        return self._drain()

    def _beat(self) -> None:
        if not self._systemd.is_there or self.ticked_at_s < self._beats_at_s:
            return
        self._beats_at_s = self.ticked_at_s + BEAT_S
        statuses = self.statuses()
        status = not_ready(statuses, self.ticked_at_s) or "every worker runs"
        self._systemd.beat(status, is_live=not_live(statuses, self.ticked_at_s) is None)

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.process is None:
            if now_s >= child.starts_at_s:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        child.process = None
        if now_s - child.started_at_s > STEADY_AFTER_S:
            child.failures = 0
        child.failures += 1
        delay_s = next_delay_s(child.failures)
        child.starts_at_s = now_s + delay_s
        self._log.warning(
            "worker ended", sink=child.sink, worker=child.number, code=code, starts_in_s=delay_s
        )

    def _start(self, child: Child) -> None:
        reads, writes = os.pipe()
        command = [sys.executable, "-m", "tailrace", "run", "--config", str(self._config)]
        command += ["--sink", child.sink, "--number", str(child.number)]
        command += ["--instance", f"{socket.gethostname()}-{child.sink}-{child.number}"]
        child.started_at_s = time.monotonic()
        child.status = None  # what the one before it said holds no more
        child.process = subprocess.Popen(
            command,
            env=os.environ | {STATUS_FD: str(writes)},
            pass_fds=[writes],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C on the terminal reaches the daemon alone
        )
        os.close(writes)
        threading.Thread(target=self._listen, args=(child, reads), daemon=True).start()

    def _listen(self, child: Child, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    report = msgspec.json.decode(line, type=Report)
                    child.status = report.status
                    for batch in report.settled:
                        child.settled.add(batch)
                    child.heard_at_s = time.time()

    def _drain(self) -> int:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + DRAIN_WITHIN_S
        while self._stops < 2 and time.monotonic() < deadline_s:
            if all(process.poll() is not None for process in running):
                break
            time.sleep(TICK_S)
        for process in running:
            if process.poll() is None:
                process.kill()
        codes = [process.wait() for process in running]
        self._log.info("stopped", workers=len(running), codes=codes)
        # Ended by the signal itself: it had not begun yet, so nothing is left of it.
        return FAILED if set(codes) - {OK, -signal.SIGTERM} else OK
