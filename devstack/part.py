"""One server of the stack as a process: start and wait until it answers, stop, kill, look."""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from devstack import process
from devstack.settings import as_text

Progress = Callable[[str, str], None]
"""Told (part, what it does now). May be called from several threads at once."""


def silent(part: str, what: str) -> None:
    """The progress listener that does not listen."""


class PartFailed(Exception):
    """A part of the stack could not do what was asked: which, why, the last lines of its log."""

    def __init__(self, part: str, why: str, log_tail: str = "") -> None:
        super().__init__(f"{part} {why}" + (f"\n{log_tail}" if log_tail else ""))
        self.part = part
        self.why = why
        self.log_tail = log_tail


class Part(ABC):
    """
    A server with a folder of its own for settings, data, log and pid file.

    A subclass says how to prepare, with which command to start, and how to tell that it serves.
    """

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_timeout_s: ClassVar[float] = 90
    stop_timeout_s: float = 30

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name = name
        self.folder = folder / name
        self.port = port
        self.log = self.folder / f"{name}.log"
        self._pid_file = self.folder / "pid"

    @abstractmethod
    def prepare(self, progress: Progress) -> None:
        """Everything before the process: settings written, data formatted on first start."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The words to start it; one must name a file in the part's folder (see `process.find`)."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves requests now (not just: its port is open)."""

    def environment(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        running = self._process()
        return running.pid if running else None

    def start(self, progress: Progress = silent) -> None:
        """
        Start it and return once it answers; returns at once if it already does.

        Raises `PartFailed` when it ends or stays mute (`start_timeout_s`).
        """
        if self._process() is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.prepare(progress)
            if not process.wait_until(lambda: process.port_is_free(self.port), timeout_s=2):
                raise PartFailed(self.name, f"needs port {self.port}, which another program has.")
            progress(self.name, "starting")
            pid = process.launch(self.command(), self.log, self.environment())
            self._pid_file.write_text(str(pid))
        self._wait_until_it_answers()
        progress(self.name, "running")

    def _wait_until_it_answers(self) -> None:
        decided = process.wait_until(lambda: self.answers() or not self.pid, self.start_timeout_s)
        if not self.pid:
            raise PartFailed(self.name, f"ended while starting (log: {self.log}).", self.log_tail())
        if not decided:
            why = f"does not answer on port {self.port} after {self.start_timeout_s:.0f} s"
            why = f"{why} (log: {self.log})."
            raise PartFailed(self.name, why, self.log_tail())

    def stop(self, progress: Progress = silent) -> None:
        """Ask it to end and wait; killed when it does not end within `stop_timeout_s`."""
        running = self._process()
        if running:
            progress(self.name, self.farewell())
            if not process.end(running, self.stop_signal, self.stop_timeout_s):
                self.kill()
            progress(self.name, "stopped")
        self._pid_file.unlink(missing_ok=True)

    def farewell(self) -> str:
        """What it does when asked to stop."""
        return "stopping"

    def kill(self) -> None:
        """SIGKILL, its children included; returns when the process is gone."""
        running = self._process()
        if running:
            process.kill(running)
        self._pid_file.unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return process.tail(self.log, lines)

    def _process(self) -> psutil.Process | None:
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return process.find(pid, f"{self.folder}{os.sep}")


def write_properties(path: Path, properties: Mapping[str, object]) -> None:
    """Write a Java properties file that only its owner may read."""
    lines = (f"{key}={as_text(value)}" for key, value in properties.items())
    write_private(path, "\n".join(lines) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; replaced in one step, so never seen half done."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
