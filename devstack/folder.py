"""What a stack of any kind is: a folder with a lock, the servers' addresses, and the servers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

from devstack.endpoints import Endpoints, Kind
from devstack.part import Progress, silent
from devstack.process import locked

PARTS = ("kafka", "connect", "postgres-source", "postgres-target", "redis")


class PartStatus(NamedTuple):
    """What is true of a part now: process id while it runs, and whether it serves requests."""

    part: str
    pid: int | None
    port: int
    answers: bool


class AnyPart(Protocol):
    """A server of a stack of any kind."""

    name: str
    port: int

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""

    def answers(self) -> bool:
        """Whether the server serves requests now."""

    def start(self, progress: Progress = silent) -> None:
        """Start it and return once it answers; raises `PartFailed` when it does not."""

    def stop(self, progress: Progress = silent) -> None:
        """Ask it to end and wait; killed when it does not."""

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""


P = TypeVar("P", bound=AnyPart)


class StackFolder(Generic[P]):
    """The stack whose settings and passwords are in `folder`; nothing of it is remembered here."""

    kind: ClassVar[Kind]

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).resolve()

    def status(self) -> list[PartStatus]:
        """Every part as it is now; empty when the folder has no stack."""
        endpoints = self._endpoints()
        return [
            PartStatus(part.name, part.pid, part.port, part.pid is not None and part.answers())
            for part in (self._parts(endpoints) if endpoints else ())
        ]

    def part(self, name: str) -> P:
        """
        One server by its name (see `PARTS`), to stop, kill and start it alone.

        Raises `FileNotFoundError` before the first `up`, `KeyError` for an unknown name.
        """
        endpoints = Endpoints.load(self.folder).expect(self.kind, self.folder)
        return {part.name: part for part in self._parts(endpoints)}[name]

    def _parts(self, at: Endpoints) -> Sequence[P]:
        """In the order of `PARTS`."""
        raise NotImplementedError

    def _start_all(self, at: Endpoints, progress: Progress) -> None:
        """Kafka before Connect, the others beside them; returns once every server answers."""
        kafka, connect, *others = self._parts(at)
        with ThreadPoolExecutor(len(others)) as pool:
            starts = [pool.submit(part.start, progress) for part in others]
            kafka.start(progress)
            connect.start(progress)
        for start in starts:
            start.result()

    def _endpoints(self) -> Endpoints | None:
        try:
            return Endpoints.load(self.folder).expect(self.kind, self.folder)
        except FileNotFoundError:
            return None

    def _lock(self, progress: Progress = silent) -> AbstractContextManager[None]:
        waiting = partial(progress, "stack", "waiting for another command on this folder")
        return locked(self.folder / "lock", waiting)
