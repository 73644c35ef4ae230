"""What the fixture `cdc` is: it makes pipelines, and takes all of them away after the test."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from devstack import AnyStack, Endpoints
from tailrace.harness.cdc import Cdc
from tailrace.harness.databases import Databases


class Factory:
    """Makes pipelines whose files and logs are in `folder`."""

    def __init__(self, stack: AnyStack, folder: Path, *, update_golden: bool) -> None:
        self._folder = folder
        self._update_golden = update_golden
        self._endpoints = Endpoints.load(stack.folder)
        self._sources = Databases(self._endpoints.source)
        self._targets = Databases(self._endpoints.target)
        self._made: list[Cdc] = []

    def __call__(
        self,
        ddl: str,
        tables: Sequence[str],
        *,
        target_ddl: str = "",
        worker: Sequence[str] | None = None,
        sink_tables: Mapping[str, str] | None = None,
        proxied: Collection[str] = (),
        watch_effects: bool = True,
        **connect: Any,
    ) -> Cdc:
        """
        A pipeline between a new source, in which `ddl` is run, and a new target (`target_ddl`).

        `worker` is the command of a worker of your own, instead of `tailrace run`; `sink_tables`
        says which of its tables is the copy of which of the source's `tables`, where names differ.
        `proxied`: what the worker reaches through a proxy that `faults` can break, of sink, redis,
        kafka. `connect`: keys of that section of the pipeline file, like `partitions`.
        """
        source, target = self._sources(), self._targets()
        for dsn, statements in ((source, ddl), (target, target_ddl)):
            if statements:
                with psycopg.connect(dsn) as connection:
                    connection.execute(statements.encode())
        made = Cdc(
            self._folder,
            self._endpoints,
            source,
            target,
            tables,
            worker=worker,
            sink_tables=sink_tables,
            proxied=proxied,
            watch_effects=watch_effects,
            update_golden=self._update_golden,
            **connect,
        )
        self._made.append(made)
        return made

    def close(self) -> None:
        """Also what is left when something of it cannot be taken away."""
        with ExitStack() as last:
            last.callback(self._sources.drop)
            last.callback(self._targets.drop)
            for made in self._made:
                last.callback(made.close)
