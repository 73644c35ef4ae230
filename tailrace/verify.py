"""
Is the target equal to the source? Proved by checksums that both servers compute themselves.

Each server digests its rows into buckets, a range of pages at a time. Only rows of buckets that
differ are read, merged by key, and named. Nothing depends on the order of rows, on collations or
on session settings. It holds for a quiet point: what is still on its way counts as a difference.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from supervision.digests import (
    Connection,
    Incomparable,
    Progress,
    Row,
    Side,
    Tally,
    both_buckets,
    snapshot,
)

Kind = Literal["missing", "extra", "changed"]
SAME_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not the same on both sides."""

    kind: Kind
    """missing: the target lacks it; extra: the source lacks it; changed: columns differ."""
    key: dict[str, str]
    columns: tuple[str, ...] = ()
    """Those that differ, in the source's order."""


@dataclass(frozen=True, slots=True)
class TableResult:
    """What was found out about one table; `problem` is a sentence if it could not be compared."""

    table: str
    source_rows: int = 0
    target_rows: int = 0
    missing: int = 0
    extra: int = 0
    changed: int = 0
    differences: tuple[Difference, ...] = ()
    """The first ones, as many as the limit allows."""
    seconds: float = 0.0
    problem: str = ""

    @property
    def differing(self) -> int:
        """How many rows differ."""
        return self.missing + self.extra + self.changed

    @property
    def equal(self) -> bool:
        """Whether it was compared and nothing differed."""
        return not self.problem and not self.differing


def verify(
    source: Connection,
    target: Connection,
    tables: Sequence[str],
    progress: Progress = lambda table, done, expected: None,
    *,
    limit: int = 20,
    in_target: Mapping[str, str] = SAME_NAMES,
) -> list[TableResult]:
    """
    Compare `tables` (`schema.name`), all in one snapshot a side. `in_target` has the names of those
    that are called otherwise there.

    Columns that only the target has are ignored, and generated ones. At most `limit` rows a table
    are named. The connections must be outside a transaction. Raises psycopg.Error.
    """
    with snapshot(source), snapshot(target):
        return [
            _compare(
                Side(source, table),
                Side(target, in_target.get(table, table)),
                table,
                Tally(table, progress),
                limit,
            )
            for table in tables
        ]


def merge(left: Iterator[Row], right: Iterator[Row]) -> Iterator[tuple[Kind, Row]]:
    """What differs between the source's rows and the target's, both sorted by `Row.order`."""
    ours, theirs = next(left, None), next(right, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours.order < theirs.order):
            assert ours is not None
            yield "missing", ours
            ours = next(left, None)
        elif ours is None or theirs.order < ours.order:
            yield "extra", theirs
            theirs = next(right, None)
        else:
            if ours.digest != theirs.digest:
                yield "changed", ours
            ours, theirs = next(left, None), next(right, None)


def _compare(ours: Side, theirs: Side, table: str, tally: Tally, limit: int) -> TableResult:
    began = time.monotonic()
    try:
        _check(table, ours, theirs)
    except Incomparable as problem:
        return TableResult(table, problem=str(problem))
    in_source, in_target = both_buckets(ours, theirs, ours.columns, tally)
    suspects = {bucket for bucket, _ in in_source.items() ^ in_target.items()}
    counts: Counter[Kind] = Counter()
    named: list[Difference] = []
    for kind, row in _differing(ours, theirs, suspects, tally):
        counts[kind] += 1
        if len(named) < limit:
            named.append(Difference(kind, dict(zip(ours.key, row.key, strict=True))))
    return TableResult(
        table,
        source_rows=sum(rows for rows, _ in in_source.values()),
        target_rows=sum(rows for rows, _ in in_target.values()),
        missing=counts["missing"],
        extra=counts["extra"],
        changed=counts["changed"],
        differences=tuple(_with_columns(ours, theirs, difference) for difference in named),
        seconds=time.monotonic() - began,
    )


def _check(table: str, ours: Side, theirs: Side) -> None:
    if not ours.exists:
        raise Incomparable(f"{table} is not in the source.")
    if not theirs.exists:
        raise Incomparable(f"{table} is not in the target; `tailrace schema apply` creates it.")
    if not ours.key:
        raise Incomparable(f"{table} has no primary key, so its rows cannot be told apart.")
    lacking = sorted(set(ours.columns) - set(theirs.columns))
    if lacking:
        raise Incomparable(f"{table} lacks in the target: {', '.join(lacking)}.")


def _differing(
    ours: Side, theirs: Side, buckets: set[int], tally: Tally
) -> Iterator[tuple[Kind, Row]]:
    if not buckets:
        return iter(())
    left, right = (side.by_key(ours.key, ours.columns, buckets, tally) for side in (ours, theirs))
    return merge(left, right)


def _with_columns(ours: Side, theirs: Side, found: Difference) -> Difference:
    if found.kind != "changed":
        return found
    left, right = (side.values(ours.columns, found.key) for side in (ours, theirs))
    pairs = zip(ours.columns, left, right, strict=True)
    return replace(found, columns=tuple(name for name, one, other in pairs if one != other))
