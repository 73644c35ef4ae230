"""All servers of one data folder together."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from devstack import jars
from devstack.connect import Connect
from devstack.endpoints import Endpoints, Kind
from devstack.folder import PARTS, AnyPart, PartStatus, StackFolder
from devstack.kafka import Kafka
from devstack.part import Part, Progress, silent, write_private
from devstack.postgres import Postgres
from devstack.profile import PROFILES, ProfileName
from devstack.valkey import Valkey

_OPTIONS = "options.json"


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


class Stack(StackFolder[Part]):
    """
    The embedded stack whose data, settings, logs and passwords are in `folder`.

    Any process may make one for the same folder and sees the same servers: what runs is read
    from the folder and the processes, never remembered here. Keyword arguments are `Options`;
    the ones not given stay as the folder has them. They matter to what is started from now on.
    """

    kind = "embedded"

    def __init__(
        self,
        folder: Path | str,
        *,
        profile: ProfileName | None = None,
        exactly_once: bool | None = None,
        cache: Path | str | None = None,
        plugins: Sequence[str] | None = None,
    ) -> None:
        super().__init__(folder)
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
            self._start_all(endpoints, progress)
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
