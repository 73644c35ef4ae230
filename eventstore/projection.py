"""
Projections: read models made of events, declared as a function or as SQL, with a version.

Each version has a schema of its own (`balances_v2`), in which its tables are made; readers use the
views in the schema of the projection's name (`balances`), which show the version that is live.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, LiteralString

import psycopg

from eventstore.contracts import Contracts, Event
from eventstore.recorded import Recorded
from eventstore.writer import Writer, writing

_NAME = re.compile(r"[a-z][a-z0-9_]{0,48}")

Tx = psycopg.Connection[Any]
"""An open transaction, in whose search path the version's tables are; it commits by itself."""
One = Callable[[Writer, Recorded], None]
Many = Callable[[Tx, Sequence[Recorded]], None]
Runs = Iterable[Iterable[Recorded]]
"""Each event is read and decoded when its turn comes, while the database is at work."""
Apply = Callable[[Tx, Runs], None]


@dataclass(frozen=True, slots=True)
class Projection:
    """
    `tables` is the DDL of its tables, names without a schema. Exactly one of `apply` and
    `statement` is there; the statement reads the events from the table `batch` (stream, pos, id,
    type, version, data, meta, at), with their data as it was stored: nothing lifts it.

    Of one stream events come in order, each once; between streams no order is promised.
    Raises ValueError for a name that cannot be a schema.
    """

    name: str
    version: int
    contracts: Contracts = field(repr=False)
    events: frozenset[str]
    tables: LiteralString = field(repr=False)
    apply: Apply | None = field(default=None, repr=False)
    statement: LiteralString | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.version < 1:
            raise ValueError(
                f"a projection is named like tours_by_day, versions count from 1;"
                f" not {self.name!r:.60}, {self.version}"
            )

    @property
    def schema(self) -> str:
        """Of this version."""
        return f"{self.name}_v{self.version}"


def projection(
    name: str,
    *,
    version: int,
    contracts: Contracts,
    events: Collection[type[Event]],
    tables: LiteralString,
) -> Callable[[One], Projection]:
    """Decorates what one event does: `def balances(tx, recorded)`. It gets these events only."""

    def declare(one: One) -> Projection:
        def apply(tx: Tx, runs: Runs) -> None:
            with writing(tx) as writer:
                for recorded in chain.from_iterable(runs):
                    one(writer, recorded)

        return _declared(name, version, contracts, events, tables, apply=apply)

    return declare


def batch_projection(
    name: str,
    *,
    version: int,
    contracts: Contracts,
    events: Collection[type[Event]],
    tables: LiteralString,
) -> Callable[[Many], Projection]:
    """Decorates what a run of events does: `def balances(tx, events)`; never an empty one."""

    def declare(many: Many) -> Projection:
        def apply(tx: Tx, runs: Runs) -> None:
            for run in runs:
                many(tx, [*run])

        return _declared(name, version, contracts, events, tables, apply=apply)

    return declare


def sql_projection(
    name: str,
    *,
    version: int,
    contracts: Contracts,
    events: Collection[type[Event]],
    tables: LiteralString,
    statement: LiteralString,
) -> Projection:
    """Of SQL alone: no event passes through Python while it is built."""
    return _declared(name, version, contracts, events, tables, statement=statement)


def _declared(
    name: str,
    version: int,
    contracts: Contracts,
    events: Collection[type[Event]],
    tables: LiteralString,
    *,
    apply: Apply | None = None,
    statement: LiteralString | None = None,
) -> Projection:
    contracts.reads(f"projection {name}", *events)
    names = frozenset(event.contract.name for event in events)
    return Projection(name, version, contracts, names, tables, apply, statement)
