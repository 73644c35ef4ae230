"""The target database of a pipeline under test: its rows, and whether they are the source's."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from consumer.event import TopicPartition
from sinks.target import GUARD_COLUMNS
from supervision.digests import Incomparable, Side, snapshot
from tailrace.lag_sources import next_offsets
from tailrace.verify import Difference, TableResult, verify

NAMED = 20  # the most rows of a table that a message names


class Sink:
    """`tables` maps the source's names to those in the target: the same, unless told otherwise."""

    def __init__(self, dsn: str, tables: Mapping[str, str]) -> None:
        self.dsn = dsn
        self.tables = tables

    def connect(self) -> psycopg.Connection[Any]:
        """A connection that commits each statement."""
        return psycopg.connect(self.dsn, autocommit=True)

    def sql(self, statement: str) -> None:
        """Run it in the target, committed."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode())

    def query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a query of the target's finds."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of the source's `table` as the sink has them, by key, without our columns."""
        name = sql.Identifier(*self.tables.get(table, table).split(".", 1))
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            side = Side(connection, self.tables.get(table, table))
            order = sql.SQL(", ").join(map(sql.Identifier, side.key)) or sql.SQL("1")
            query = sql.SQL("SELECT * FROM {} ORDER BY {}").format(name, order)
            found = connection.execute(query).fetchall()
        return [
            {column: value for column, value in row.items() if column not in GUARD_COLUMNS}
            for row in found
        ]

    def offsets(self, group: str) -> dict[TopicPartition, int]:
        """How far our own sink says it is."""
        with psycopg.connect(self.dsn) as connection:
            return dict(next_offsets(connection, [group])[group])


def differences(source_dsn: str, sink: Sink, tables: Sequence[str]) -> list[TableResult]:
    """The tables that are not the same on both sides."""
    with psycopg.connect(source_dsn) as source, psycopg.connect(sink.dsn) as target:
        results = verify(source, target, tables, limit=NAMED, in_target=sink.tables)
    return [result for result in results if not result.equal]


def explain(source_dsn: str, sink: Sink, found: Sequence[TableResult]) -> str:
    """What differs, row by row, with both sides."""
    with (
        psycopg.connect(source_dsn) as source,
        psycopg.connect(sink.dsn) as target,
        snapshot(source),
        snapshot(target),
    ):
        return "\n".join(line for result in found for line in _lines(source, target, sink, result))


def _lines(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    sink: Sink,
    result: TableResult,
) -> list[str]:
    if result.problem:
        return [f"{result.table} was not compared: {result.problem}"]
    ours = Side(source, result.table)
    theirs = Side(target, sink.tables.get(result.table, result.table))
    lines = [
        f"{result.table} differs from the source in {result.differing} row(s):"
        f" {result.missing} missing, {result.extra} extra, {result.changed} changed"
        f" (source {result.source_rows} rows, sink {result.target_rows})"
    ]
    lines += [f"    {_row(each, ours, theirs)}" for each in result.differences]
    rest = result.differing - len(result.differences)
    return [*lines, f"    and {rest} more"] if rest else lines


def _row(found: Difference, ours: Side, theirs: Side) -> str:
    key = ", ".join(f"{name}={value}" for name, value in found.key.items())
    columns = found.columns or tuple(c for c in ours.columns if c not in found.key)
    source = _values(ours, columns, found.key) if found.kind != "extra" else "no such row"
    target = _values(theirs, columns, found.key) if found.kind != "missing" else "no such row"
    return f"{found.kind} {key}: source {source} | sink {target}"


def _values(side: Side, columns: Sequence[str], key: dict[str, str]) -> str:
    if not columns:
        return "has it"
    try:
        values = side.values(columns, key)
    except (IndexError, Incomparable):
        return "changed meanwhile"
    return ", ".join(f"{n}={_short(v)}" for n, v in zip(columns, values, strict=True))


def _short(value: str | None) -> str:
    text = "NULL" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
