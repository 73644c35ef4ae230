"""
Target tables from the source's catalogue: a plan of statements first, then exactly these.

A target table has the source's columns, primary key and generated columns, and the sink's guard
columns. It has no foreign keys, defaults or other constraints: the source has checked them, and
changes of several tables arrive in an order of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from eventstore import subscriber_sink
from eventstore.subscriber import Subscriber
from sinks import pgtypes, target
from tailrace import named
from tailrace.exits import Problem
from tailrace.sections import Sink, SubscriberSink

STATEMENTS = target.load_statements(Path(__file__).with_name("schema.sql"))
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One statement of a plan, and what it is for."""

    subject: str
    sql: str


@dataclass(frozen=True, slots=True)
class Column:
    """`type` as DDL; `typname` that of the element or base; `key` its place in the primary key."""

    name: str
    type: str
    typname: str
    is_array: bool
    key: int
    generated: str | None
    enum: int | None
    extension: str | None


@dataclass(slots=True)
class Table:
    """A table with its columns in their order."""

    schema: str
    name: str
    columns: list[Column] = field(default_factory=list)

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum type with its labels in their order."""

    schema: str
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Of one database: the tables asked for that are there, their enums, and what else exists."""

    tables: Mapping[str, Table]
    enums: Mapping[int, Enum]
    present: frozenset[str]


def read(connection: Connection, tables: Sequence[str]) -> Catalogue:
    """The connection's search_path must be pg_catalog, or types come without their schema."""
    found: dict[str, Table] = {}
    for schema, name, *rest in connection.execute(STATEMENTS["columns"], [list(tables)]):
        table = found.setdefault(f"{schema}.{name}", Table(schema, name))
        table.columns.append(Column(*rest))
    oids = {c.enum for table in found.values() for c in table.columns if c.enum is not None}
    enums = {
        oid: Enum(schema, name, tuple(labels))
        for oid, schema, name, labels in connection.execute(STATEMENTS["enums"], [list(oids), []])
    }
    present = frozenset(name for (name,) in connection.execute(STATEMENTS["present"]))
    return Catalogue(found, enums, present)


def read_enums(connection: Connection, names: Sequence[str]) -> dict[str, Enum]:
    """Those of the named enum types that are there."""
    rows = connection.execute(STATEMENTS["enums"], [[], list(names)])
    return {f"{s}.{n}": Enum(s, n, tuple(labels)) for _, s, n, labels in rows}


def plan(source: Connection, destination: Connection, tables: Sequence[str]) -> list[Change]:
    """
    What the target lacks, in the order in which it has to be made; empty if nothing.

    Raises Problem for a table that cannot be mirrored without loss, naming table and column.
    """
    wanted = read(source, tables)
    there = read(destination, tables)
    refuse(wanted, tables)
    enums = read_enums(
        destination, [f"{enum.schema}.{enum.name}" for enum in wanted.enums.values()]
    )
    changes = [*_surroundings(wanted, there), *_enums(wanted, enums)]
    for name in tables:
        table = wanted.tables[name]
        if name in there.tables:
            changes += _differences(table, there.tables[name])
        else:
            changes.append(Change(f"create table {name}", _create(table)))
    return changes


def plan_of(source: Connection, destination: Connection, sink: Sink) -> list[Change]:
    """What a sink of a pipeline lacks, whatever its type. Raises Problem as `plan`."""
    changes = plan(source, destination, sink.tables)
    if isinstance(sink, SubscriberSink):
        subscriber = named.load(sink.module, Subscriber)
        for table, ddl in {"eventstore.inbox": subscriber_sink.INBOX, **subscriber.tables}.items():
            found = destination.execute("SELECT to_regclass(%s)", [table]).fetchone()
            if found is None or found[0] is None:
                changes.append(Change(f"create table {table}", ddl))
    return changes


def apply(destination: Connection, changes: Sequence[Change]) -> None:
    """In one transaction. Raises Problem with the statement that failed."""
    for change in changes:
        try:
            destination.execute(change.sql.encode())
        except psycopg.Error as error:
            destination.rollback()
            raise Problem(
                "TR-SCH-005",
                f"The target refused to {change.subject}: {error.diag.message_primary or error}. "
                f"Nothing was changed. The statement was: {change.sql}",
            ) from error
    destination.commit()


def refuse(wanted: Catalogue, tables: Sequence[str]) -> None:
    """Raises Problem for the first thing that cannot travel."""
    for name in tables:
        table = wanted.tables.get(name)
        if table is None:
            raise Problem("TR-SCH-001", f"The source has no table {name}: correct `source.tables`.")
        if all(column.key < 0 for column in table.columns):
            raise Problem(
                "TR-SCH-002",
                f"Table {name} has no primary key, so a change cannot find its row in the target: "
                "add a primary key, or take the table out of the sink's `tables`.",
            )
        for column in table.columns:
            try:
                pgtypes.value_type(column.typname, is_array=column.is_array)
            except KeyError:
                raise Problem(
                    "TR-SCH-003",
                    f"Column {column.name} of {name} has type {column.type}, which does not travel "
                    "without loss (docs/types.md): change the type, or take the table out.",
                ) from None


def _surroundings(wanted: Catalogue, there: Catalogue) -> Iterator[Change]:
    if "sink tables" not in there.present:
        yield Change("create the sink's own tables in schema tailrace", target.STATEMENTS["schema"])
    if "parked table" not in there.present:
        yield Change("create table tailrace.parked", target.STATEMENTS["parked"])
    for schema in sorted({table.schema for table in wanted.tables.values()} - there.present):
        yield Change(f"create schema {schema}", _text(sql.SQL("CREATE SCHEMA {0}"), schema))
    columns = [column for table in wanted.tables.values() for column in table.columns]
    for name in sorted({column.extension for column in columns if column.extension}):
        if f"extension {name}" not in there.present:
            yield Change(f"create extension {name}", _text(sql.SQL("CREATE EXTENSION {0}"), name))


def _enums(wanted: Catalogue, there: Mapping[str, Enum]) -> Iterator[Change]:
    for enum in wanted.enums.values():
        name = f"{enum.schema}.{enum.name}"
        parts: dict[str, sql.Composable] = {"type": sql.Identifier(enum.schema, enum.name)}
        if name not in there:
            parts["labels"] = sql.SQL(", ").join(map(sql.Literal, enum.labels))
            yield Change(f"create type {name}", _statement("create_enum", parts))
            continue
        for label in enum.labels:
            if label not in there[name].labels:
                parts["label"] = sql.Literal(label)
                yield Change(f"add {label} to type {name}", _statement("add_label", parts))


def _differences(wanted: Table, there: Table) -> Iterator[Change]:
    present = {column.name: column for column in there.columns}
    for column in wanted.columns:
        if column.name not in present:
            parts = {"table": wanted.identifier, "column": _definition(column)}
            subject = f"add column {column.name} to {wanted.full}"
            yield Change(subject, _statement("add_column", parts))
        elif present[column.name].type != column.type:
            raise Problem(
                "TR-SCH-004",
                f"Column {column.name} of {wanted.full} is {column.type} in the source and "
                f"{present[column.name].type} in the target: change the target's by hand, since "
                "it may rewrite the table.",
            )
    if _key(wanted) != _key(there):
        raise Problem(
            "TR-SCH-006",
            f"The primary key of {wanted.full} is ({', '.join(_key(wanted))}) in the source and "
            f"({', '.join(_key(there)) or 'none'}) in the target: make them the same by hand.",
        )
    if not set(target.GUARD_COLUMNS) <= present.keys():
        parts = {"table": wanted.identifier}
        yield Change(f"add guard columns to {wanted.full}", _statement("add_guards", parts))


def _create(table: Table) -> str:
    return _statement(
        "create_table",
        {
            "table": table.identifier,
            "columns": sql.SQL(", ").join(map(_definition, table.columns)),
            "guards": sql.SQL(STATEMENTS["guards"]),
            "key": sql.SQL(", ").join(map(sql.Identifier, _key(table))),
        },
    )


def _definition(column: Column) -> sql.Composed:
    """Type and expression are the source's own text, as its catalogue prints it."""
    text = sql.SQL("{0} {1}").format(sql.Identifier(column.name), _trusted(column.type))
    if column.generated is not None:
        stored = sql.SQL(" GENERATED ALWAYS AS ({0}) STORED")
        text += stored.format(_trusted(column.generated))
    return text


def _trusted(text: str) -> sql.SQL:
    return sql.SQL(text.replace("{", "{{").replace("}", "}}"))


def _key(table: Table) -> list[str]:
    in_key = [column for column in table.columns if column.key >= 0]
    return [column.name for column in sorted(in_key, key=lambda column: column.key)]


def _statement(name: str, parts: Mapping[str, sql.Composable]) -> str:
    return sql.SQL(STATEMENTS[name]).format(**parts).as_string()


def _text(statement: sql.SQL, name: str) -> str:
    return statement.format(sql.Identifier(name)).as_string()
