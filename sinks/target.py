"""The tables of a Postgres target: what they look like, and the statements that write them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import sql

from consumer.errors import Refused
from sinks import pgtypes
from sinks.rows import Codec, Column

OF_EXTENSIONS = frozenset(("citext", "ltree", "hstore"))
GUARD_COLUMNS = ("_cdc_gen", "_cdc_commit", "_cdc_lsn")


def load_statements(path: Path) -> Mapping[str, LiteralString]:
    """`-- name: x` opens a statement; the file is ours, so its text may be trusted as SQL."""
    parts = re.split(r"^-- name: (\w+)\n", path.read_text(), flags=re.MULTILINE)
    return {
        name: re.sub(r"^--.*\n", "", body, flags=re.MULTILINE).strip().rstrip(";")
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def as_json(rows: Iterable[Any]) -> str:
    """
    Rows, as Structs or mappings, in the one parameter that `json_to_recordset` takes. To dump the
    same as an array for each column costs psycopg fifty times as much.
    """
    return msgspec.json.encode(list(rows)).decode()


STATEMENTS = load_statements(Path(__file__).with_name("postgres.sql"))


class Target:
    """One table of the target. `name` is `schema.table`, as in the source."""

    def __init__(self, number: int, schema: str, table: str, columns: Sequence[Column]) -> None:
        self.name = f"{schema}.{table}"
        self.relation = sql.Identifier(schema, table)
        self.columns = [column for column in columns if not column.is_generated]
        self.generated = [column.name for column in columns if column.is_generated]
        self.key = [column for column in self.columns if column.in_key]
        self.has_arrays = any(column.is_array for column in columns)
        self._number = number
        self._shapes: dict[frozenset[str], Shape] = {}

    def shape(self, absent: frozenset[str] = frozenset()) -> "Shape":
        """How to write rows that lack these columns: an event may be older than a column."""
        if absent not in self._shapes:
            columns = [column for column in self.columns if column.name not in absent]
            stage = f"tailrace_stage_{self._number}_{len(self._shapes)}"
            self._shapes[absent] = Shape(self, columns, stage)
        return self._shapes[absent]

    @cached_property
    def deletes(self) -> "Shape":
        """Rows of nothing but the key."""
        return Shape(self, self.key, f"tailrace_stage_{self._number}_deletes")

    def stages(self) -> "list[Shape]":
        """Shapes whose stage is there."""
        return [shape for shape in (self.deletes, *self._shapes.values()) if shape.is_staged]

    def forget_stages(self) -> None:
        """After a rollback: stages that were made in that transaction are gone."""
        for shape in self.stages():
            shape.is_staged = False

    def absent_from(self, row: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(column.name for column in self.columns).difference(row)

    def unknown_in(self, row: Mapping[str, Any]) -> list[str]:
        known = {column.name for column in self.columns} | set(self.generated)
        return sorted(row.keys() - known)


class Shape:
    """A set of columns of one target, with the codec and the statements for just these."""

    def __init__(self, target: Target, columns: Sequence[Column], stage: str) -> None:
        self.target = target
        self.columns = columns
        self.codec = Codec(columns, ignored=target.generated)
        self.stage = stage
        self.is_staged = False  # whether this transaction or an earlier one made the stage

    @cached_property
    def statements(self) -> Mapping[str, sql.Composed]:
        target = self.target
        names = [sql.Identifier(column.name) for column in self.columns]
        guards = [sql.Identifier(name) for name in GUARD_COLUMNS]
        values = [
            sql.Identifier(column.name) for column in self.columns if not column.in_key
        ] + guards
        parts: dict[str, sql.Composable] = {
            "target": target.relation,
            "stage": sql.Identifier("pg_temp", self.stage),
            "relation": sql.Literal(target.name),
            "columns": sql.SQL(", ").join(names),
            "key": sql.SQL(", ").join(sql.Identifier(column.name) for column in target.key),
            "same_key": sql.SQL(" AND ").join(
                sql.SQL("t.{0} = s.{0}").format(sql.Identifier(column.name))
                for column in target.key
            ),
            "set_excluded": sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(name) for name in values
            ),
            "set_kept": sql.SQL(", ").join(
                [self._kept(i) for i, column in enumerate(self.columns) if not column.in_key]
                + [sql.SQL("{0} = s.{0}").format(name) for name in guards]
            ),
        }
        parts |= {
            name: sql.SQL(STATEMENTS[name]).format(**parts) for name in ("not_buried", "not_stale")
        }
        if any(column.typname in OF_EXTENSIONS for column in target.key):
            parts["not_stale"] = sql.SQL("true")  # no `=` of theirs in the search path
        composed = {
            name: sql.SQL(STATEMENTS[name]).format(**parts)
            for name in (
                "stage empty_stage copy_fresh copy_stage bury delete upsert update_kept "
                "missing_kept lock_truncate truncate"
            ).split()
        }
        parts["not_buried"] = parts["not_stale"] = sql.SQL("true")
        composed["upsert_fresh"] = sql.SQL(STATEMENTS["upsert"]).format(**parts)
        return composed

    def _kept(self, i: int) -> sql.Composed:
        return sql.SQL("{0} = CASE WHEN s._kept[{1}] THEN t.{0} ELSE s.{0} END").format(
            sql.Identifier(self.columns[i].name), sql.Literal(i + 1)
        )


def read_targets(connection: psycopg.Connection[Any], tables: Sequence[str]) -> dict[str, Target]:
    """
    Those of `tables` that are there, with a primary key and guard columns.

    Raises Refused where a table is there but cannot be written without loss.
    """
    found: dict[tuple[str, str], list[Column]] = {}
    guards: set[tuple[str, str]] = set()
    for row in connection.execute(STATEMENTS["columns"], [list(tables)]):
        name, schema, table, column, typname, is_array, in_key, is_generated, shown = row
        columns = found.setdefault((schema, table), [])
        if column in GUARD_COLUMNS:
            guards.add((schema, table))
            continue
        try:
            pgtypes.value_type(typname, is_array=is_array)
        except KeyError:
            raise Refused(
                f"column {column} of {name} has the type {shown}, which does not travel without "
                "loss: leave the table out, or give the column another type (docs/types.md)"
            ) from None
        columns.append(Column(column, typname, is_array, in_key, is_generated))
    targets = {}
    for number, ((schema, table), columns) in enumerate(found.items()):
        target = Target(number, schema, table, columns)
        guarded = (schema, table) in guards
        if not target.key:
            raise Refused(
                f"the target table {target.name} has no primary key, so a change cannot find its "
                "row: run `tailrace schema apply`, or add the key of the source's table"
            )
        if not guarded:
            raise Refused(
                f"the target table {target.name} has no guard columns "
                f"({', '.join(GUARD_COLUMNS)}): run `tailrace schema apply`, which adds them"
            )
        targets[target.name] = target
    return targets
