"""The versions of projections in their database: which there are, and which one readers see."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from sinks.target import load_statements

STATEMENTS = load_statements(Path(__file__).with_name("projection.sql"))
PATIENCE = "SET LOCAL lock_timeout = '5s'"

Connection = psycopg.Connection[Any]
State = Literal["filling", "built", "past"]


class Build(NamedTuple):
    """
    A version that was built for a sink. `events` are those that it was filled with from the
    store, before it followed the log; one of the past does not follow it.
    """

    projection: str
    version: int
    state: State
    is_live: bool
    events: int
    began_at: datetime
    built_at: datetime | None

    @property
    def schema(self) -> str:
        return f"{self.projection}_v{self.version}"


class Difference(msgspec.Struct, frozen=True):
    """
    Rows of a table that only one version has: the one that readers see, or the new one. Both are
    null where the versions have not the same columns of it.
    """

    table: str
    only_live: int | None
    only_new: int | None

    @property
    def is_none(self) -> bool:
        return self.only_live == 0 and self.only_new == 0

    def __str__(self) -> str:
        if self.only_live is None:
            return f"{self.table}: the versions have not the same columns of it"
        old, new = self.only_live, self.only_new
        return f"{self.table}: {old:,} row(s) only in the old, {new:,} only in the new"


def find(connection: Connection, sink: str) -> Build | None:
    """That of a sink. The schema may not be there yet: then there is none."""
    try:
        row = connection.execute(STATEMENTS["build"], [sink]).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        connection.rollback()
        return None
    return Build(*row) if row else None


def listed(connection: Connection) -> dict[str, Build]:
    """All of a database, by sink."""
    return {sink: Build(*rest) for sink, *rest in connection.execute(STATEMENTS["builds"])}


def live(connection: Connection, projection: str) -> tuple[str, Build] | None:
    """The sink and the build that readers see."""
    found = (
        (sink, one) for sink, one in listed(connection).items() if one.projection == projection
    )
    return next((each for each in found if each[1].is_live), None)


def switch(connection: Connection, sink: str) -> None:
    """
    Readers see the version of this sink from the commit on: all of its tables at once. Who might
    read a view still may; one that the new version does not have goes. Raises LockNotAvailable
    rather than let readers queue up behind one that does not end.
    """
    connection.execute(PATIENCE)
    build = find(connection, sink)
    assert build is not None
    connection.execute(STATEMENTS["lock_switch"], [build.projection])
    connection.execute(
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(build.projection))
    )
    granted = connection.execute(STATEMENTS["granted"], [build.projection]).fetchall()
    shown = live(connection, build.projection)
    for table in tables(connection, shown[1]) if shown else ():
        view = sql.Identifier(build.projection, table)
        connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
    ours = tables(connection, build)
    for table in ours:
        view, its = sql.Identifier(build.projection, table), sql.Identifier(build.schema, table)
        connection.execute(sql.SQL("CREATE VIEW {} AS SELECT * FROM {}").format(view, its))
    for table, role in granted:
        if table in ours:
            _grant(connection, sql.Identifier(build.projection, table), role)
    connection.execute(STATEMENTS["hide"], [build.projection])
    connection.execute(STATEMENTS["show"], [sink])


def _grant(connection: Connection, view: sql.Identifier, role: str | None) -> None:
    """Without a role: to all."""
    to = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
    connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(view, to))


def is_taken(connection: Connection, projection: str) -> bool:
    """Whether the schema of its views holds something already, and no version is shown there."""
    row = connection.execute(STATEMENTS["is_taken"], [projection] * 2).fetchone()
    return live(connection, projection) is None and row is not None and bool(row[0])


def drop(connection: Connection, sink: str) -> None:
    """
    Forget a version that readers do not see: its tables, how far it was, its marks. Does nothing
    to one that they see.
    """
    build = find(connection, sink)
    if build is None:
        return
    connection.execute(PATIENCE)
    connection.execute(STATEMENTS["lock_switch"], [build.projection])
    if (now := find(connection, sink)) is None or now.is_live:  # shown or gone meanwhile
        return
    connection.execute(
        sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(build.schema))
    )
    for name in ("forget_reached", "forget_marks", "forget_build"):
        connection.execute(STATEMENTS[name], [sink])


def tables(connection: Connection, build: Build) -> list[str]:
    """Of a version."""
    return _names(connection, "tables", build.schema)


def are_level(connection: Connection, sink: str, other: str) -> bool:
    """Whether two sinks have had exactly the same events."""
    row = connection.execute(STATEMENTS["level"], [sink, other]).fetchone()
    return row is not None and bool(row[0])


def differences(connection: Connection, shown: Build, new: Build) -> Iterator[Difference]:
    """Of each table of either version, in a snapshot in which both are level."""
    theirs, ours = tables(connection, shown), tables(connection, new)
    for table in sorted({*theirs, *ours}):
        if table not in theirs or table not in ours:
            yield Difference(table, None, None)
            continue
        columns = _columns(connection, shown, table)
        if columns != _columns(connection, new, table):
            yield Difference(table, None, None)
            continue
        names = sql.SQL(", ").join(sql.Identifier("t", column) for column in columns)
        only = [
            connection.execute(_only(names, table, *pair)).fetchone()
            for pair in ((shown, new), (new, shown))
        ]
        yield Difference(table, *(row[0] if row else None for row in only))


def _only(names: sql.Composed, table: str, has: Build, lacks: Build) -> sql.Composed:
    return sql.SQL(STATEMENTS["only"]).format(
        columns=names,
        has=sql.Identifier(has.schema, table),
        lacks=sql.Identifier(lacks.schema, table),
    )


def _columns(connection: Connection, build: Build, table: str) -> Sequence[str]:
    rows = connection.execute(STATEMENTS["columns"], [build.schema, table])
    return [name for (name,) in rows]


def _names(connection: Connection, what: str, schema: str) -> list[str]:
    return [name for (name,) in connection.execute(STATEMENTS[what], [schema])]
