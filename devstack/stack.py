"""All servers of one data folder together."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from devstack import jars
from devstack.connect import Connect
from devstack.endpoints import Endpoints
from devstack.java import PROFILES
from devstack.kafka import Kafka
from devstack.part import Part, Progress, silent
from devstack.postgres import Postgres
from devstack.process import locked
from devstack.valkey import Valkey

PARTS = ("kafka", "connect", "postgres-source", "postgres-target", "redis")


class PartStatus(NamedTuple):
    """What is true of a part now."""

    part: str
    pid: int | None
    port: int
    answers: bool


class Stack:
    """
    The embedded stack whose data, settings, logs and passwords are in `folder`.

    Any process may make one for the same folder and sees the same servers: what runs is read
    from the folder and the processes, never remembered here. `profile` ("small" or "bench") and
    `cache` (where jars are kept for all stacks) matter only to what is started from now on.
    """

    def __init__(
        self, folder: Path | str, *, profile: str = "small", cache: Path | None = None
    ) -> None:
        self.folder = Path(folder).resolve()
        self._profile = PROFILES[profile]
        self._cache = cache or jars.default_cache()

    def up(self, progress: Progress = silent) -> Endpoints:
        """
        Start what does not run and return once every server answers.

        Raises `PartFailed` for the first part that could not be started; the others stay.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.folder / "lock"):
            endpoints = self._endpoints() or Endpoints.choose(self.folder)
            kafka, connect, *others = self._parts(endpoints)
            with ThreadPoolExecutor(len(PARTS)) as pool:
                starts = [pool.submit(part.start, progress) for part in (kafka, *others)]
                starts[0].result()
                starts.append(pool.submit(connect.start, progress))
            for start in starts:
                start.result()
        return endpoints

    def down(self, progress: Progress = silent) -> None:
        """Stop every server in order: those that hold connections before those that serve them."""
        with locked(self.folder / "lock"):
            self._stop_all(progress)

    def reset(self, progress: Progress = silent) -> None:
        """Stop every server and delete its data, the ports and the passwords; jars stay."""
        with locked(self.folder / "lock"):
            self._stop_all(progress)
            for name in PARTS:
                shutil.rmtree(self.folder / name, ignore_errors=True)
            Endpoints.forget(self.folder)

    def status(self) -> list[PartStatus]:
        """Every part as it is now; empty when the folder has no stack."""
        endpoints = self._endpoints()
        if endpoints is None:
            return []
        return [
            PartStatus(p.name, p.pid, p.port, p.pid is not None and p.answers())
            for p in self._parts(endpoints)
        ]

    def part(self, name: str) -> Part:
        """
        One server by its name (see `PARTS`), to stop, kill and start it alone.

        Raises `FileNotFoundError` before the first `up`, `KeyError` for an unknown name.
        """
        parts = self._parts(Endpoints.load(self.folder))
        return {part.name: part for part in parts}[name]

    def _endpoints(self) -> Endpoints | None:
        try:
            return Endpoints.load(self.folder)
        except FileNotFoundError:
            return None

    def _parts(self, at: Endpoints) -> list[Part]:
        folder, cache, profile = self.folder, self._cache, self._profile
        return [
            Kafka(folder, at.kafka, at.controller, cache, profile),
            Connect(folder, at.connect, at.kafka, cache, profile),
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
            if part.pid is not None:
                progress(part.name, "stopping")
                part.stop()
                progress(part.name, "stopped")
