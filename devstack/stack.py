"""All servers of one data folder together."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from devstack import jars
from devstack.connect import Connect
from devstack.endpoints import Endpoints, Kind
from devstack.kafka import Kafka
from devstack.part import Part, Progress, silent, write_private
from devstack.postgres import Postgres
from devstack.process import locked
from devstack.profile import PROFILES, ProfileName
from devstack.valkey import Valkey

PARTS = ("kafka", "connect", "postgres-source", "postgres-target", "redis")
_OPTIONS = "options.json"


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


class AnyStack(Protocol):
    """A stack of any kind: `Stack`, or `devstack.containers.ContainerStack`."""

    folder: Path

    def up(self, progress: Progress = silent) -> Endpoints:
        """Start what does not run; returns once every server answers."""

    def down(self, progress: Progress = silent) -> None:
        """Stop every server; data stays."""

    def reset(self, progress: Progress = silent) -> None:
        """Stop every server and delete its data."""

    def status(self) -> list[PartStatus]:
        """Every part as it is now; empty when the folder has no stack."""

    def part(self, name: str) -> AnyPart:
        """One server by its name (see `PARTS`)."""


def open_stack(folder: Path | str, kind: Kind | None = None) -> AnyStack:
    """The stack in the folder: of this kind, or of the kind that is there, else embedded."""
    if kind is None:
        try:
            kind = Endpoints.load(folder).kind
        except FileNotFoundError:
            kind = "embedded"
    if kind == "embedded":
        return Stack(folder)
    from devstack.containers import ContainerStack

    return ContainerStack(folder)


@dataclass(frozen=True)
class Options:
    """How a stack is started; kept in its folder, so that whoever restarts a part does it alike."""

    profile: ProfileName = "small"
    """See profile.py."""
    exactly_once: bool = False
    """Connect's exactly-once mode, for every source connector of the worker."""
    cache: str = field(default_factory=lambda: str(jars.default_cache()))
    """Folder of the jars, shared by stacks."""
    plugins: Sequence[str] = ()
    """Class paths of jars.lock that Connect loads beside Debezium's Postgres connector."""


class Stack:
    """
    The embedded stack whose data, settings, logs and passwords are in `folder`.

    Any process may make one for the same folder and sees the same servers: what runs is read
    from the folder and the processes, never remembered here. Keyword arguments are `Options`;
    the ones not given stay as the folder has them. They matter to what is started from now on.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        profile: ProfileName | None = None,
        exactly_once: bool | None = None,
        cache: Path | str | None = None,
        plugins: Sequence[str] | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        given = {
            "profile": profile,
            "exactly_once": exactly_once,
            "cache": str(Path(cache).resolve()) if cache else None,
            "plugins": plugins,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        self.options = Options(**{**self._saved_options(), **changes})

    def up(self, progress: Progress = silent) -> Endpoints:
        """
        Start what does not run; returns once every server answers.

        Raises `PartFailed` for a part that could not be started; the others stay as they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock(progress):
            write_private(self.folder / _OPTIONS, json.dumps(dataclasses.asdict(self.options)))
            endpoints = self._endpoints() or Endpoints.choose(self.folder)
            kafka, connect, *others = self._parts(endpoints)
            with ThreadPoolExecutor(len(others)) as pool:
                starts = [pool.submit(part.start, progress) for part in others]
                kafka.start(progress)
                connect.start(progress)
            for start in starts:
                start.result()
        return endpoints

    def down(self, progress: Progress = silent) -> None:
        """Stop every server in order: those that hold connections before those that serve them."""
        if self.folder.exists():
            with self._lock(progress):
                self._stop_all(progress)

    def reset(self, progress: Progress = silent) -> None:
        """Stop every server and delete its data, the ports and the passwords; the jars stay."""
        if self.folder.exists():
            with self._lock(progress):
                self._stop_all(progress)
                for name in PARTS:
                    shutil.rmtree(self.folder / name, ignore_errors=True)
                Endpoints.forget(self.folder)
                (self.folder / _OPTIONS).unlink(missing_ok=True)

    def status(self) -> list[PartStatus]:
        """Every part as it is now; empty when the folder has no stack."""
        endpoints = self._endpoints()
        return [
            PartStatus(part.name, part.pid, part.port, part.pid is not None and part.answers())
            for part in (self._parts(endpoints) if endpoints else ())
        ]

    def part(self, name: str) -> Part:
        """
        One server by its name (see `PARTS`), to stop, kill and start it alone.

        Raises `FileNotFoundError` before the first `up`, `KeyError` for an unknown name.
        """
        endpoints = Endpoints.load(self.folder).expect("embedded", self.folder)
        return {part.name: part for part in self._parts(endpoints)}[name]

    def _lock(self, progress: Progress) -> AbstractContextManager[None]:
        waiting = partial(progress, "stack", "waiting for another command on this folder")
        return locked(self.folder / "lock", waiting)

    def _endpoints(self) -> Endpoints | None:
        try:
            return Endpoints.load(self.folder).expect("embedded", self.folder)
        except FileNotFoundError:
            return None

    def _saved_options(self) -> dict[str, Any]:
        try:
            saved: dict[str, Any] = json.loads((self.folder / _OPTIONS).read_text())
        except FileNotFoundError:
            return {}
        return saved

    def _parts(self, at: Endpoints) -> list[Part]:
        folder, cache = self.folder, Path(self.options.cache)
        profile = PROFILES[self.options.profile]
        connect = Connect(
            *(folder, at.connect, at.kafka, cache, profile),
            exactly_once=self.options.exactly_once,
            plugins=self.options.plugins,
        )
        return [
            Kafka(folder, at.kafka, at.controller, cache, profile),
            connect,
            Postgres("postgres-source", folder, at.source, profile),
            Postgres("postgres-target", folder, at.target, profile),
            Valkey(folder, at.redis),
        ]

    def _stop_all(self, progress: Progress) -> None:
        endpoints = self._endpoints()
        if endpoints is None:
            return
        kafka, connect, *others = self._parts(endpoints)
        for part in (connect, *others, kafka):
            part.stop(progress)
