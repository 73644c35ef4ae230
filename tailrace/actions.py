"""
The log of what operators do: who, by which way, what, to what, why, and what came of it.

A row is written and committed before the act, and another one after it; what cannot be logged is
not done. Rows are never changed. The log is a table in the control schema of the source, where the
pipeline is at home, and is made when it is first needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from connectors.errors import ConnectorError
from connectors.spec import ConnectorSpec
from sinks.target import load_statements
from tailrace.asking import Away, database
from tailrace.config import Pipeline
from tailrace.databases import Connection, connect, why
from tailrace.exits import FAILED, TRY_AGAIN, Problem

STATEMENTS = load_statements(Path(__file__).with_name("actions.sql"))
TABLE = "actions"
PATIENCE = "SET LOCAL statement_timeout = '10s'"  # one who holds the table must not hold us


class Actor(msgspec.Struct, frozen=True):
    """Who acts, and through what."""

    name: str
    via: Literal["cli", "dashboard"]


class Entry(msgspec.Struct, frozen=True):
    """One act. `outcome` and `ended_at` are None while it is under way, or when it was cut off."""

    id: int
    at: datetime
    actor: str
    via: str
    action: str
    target: str
    reason: str
    detail: dict[str, Any] | None
    outcome: str | None
    ended_at: datetime | None


class Actions(msgspec.Struct, frozen=True):
    """What `tailrace actions --json` gives: the newest first."""

    actions: tuple[Entry, ...]


@dataclass(slots=True)
class Act:
    """An act under way: set `outcome` to say more than that it was done."""

    id: int
    outcome: str = "done"


def os_actor() -> Actor:
    """Who runs this command, as the operating system knows it."""
    import getpass
    import os

    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        name = f"uid {os.getuid()}"
    return Actor(name, "cli")


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one pipeline: `dsn` is the source's, `schema` its control schema."""

    dsn: str = field(repr=False)  # it may hold a password
    schema: str

    def begin(
        self, actor: Actor, action: str, target: str, reason: str, detail: dict[str, Any] | None
    ) -> int:
        """The id of the act's row, which is durable. Raises Problem (TR-ACT-001)."""
        values = [*msgspec.structs.astuple(actor), action, target, reason]
        try:
            with connect(self.dsn, "source database") as connection:
                connection.execute(PATIENCE)
                self._make(connection)
                given = None if detail is None else Jsonb(detail)
                row = connection.execute(self._statement("begin"), [*values, given]).fetchone()
                connection.commit()
        except Problem as problem:
            raise _unlogged(problem.sentence, problem.exit_code) from problem
        except psycopg.Error as error:
            raise _unlogged(f"{why(error)}.", FAILED) from error
        assert row is not None
        return int(row[0])

    def end(self, id_: int, outcome: str) -> None:
        """Note what came of it. Raises Problem (TR-ACT-002): it was done, but nothing says so."""
        try:
            with connect(self.dsn, "source database") as connection:
                connection.execute(PATIENCE)
                connection.execute(self._statement("end"), [outcome, id_])
                connection.commit()
        except (Problem, psycopg.Error) as error:
            told = error.sentence if isinstance(error, Problem) else f"{why(error)}."
            raise Problem(
                "TR-ACT-002",
                f"It was done ({outcome}), but the log of actions could not be told: {told}"
                f" Its row {id_} stays without an outcome.",
            ) from error

    @contextmanager
    def logged(
        self,
        actor: Actor,
        action: str,
        target: str,
        reason: str = "",
        detail: dict[str, Any] | None = None,
    ) -> Iterator[Act]:
        """
        Both rows, around the act in the block. What the block raises is its outcome, and is raised
        again.
        """
        act = Act(self.begin(actor, action, target, reason, detail))
        try:
            yield act
        except BaseException as error:  # an interrupt is an outcome, too
            with suppress(Problem):  # the act's own failure counts
                self.end(act.id, f"failed: {_told(error)}")
            raise
        self.end(act.id, act.outcome)

    def recent(self, limit: int = 50) -> list[Entry]:
        """The newest first. Raises Problem (TR-ACT-003) where the source does not answer soon."""
        try:
            with database(self.dsn, "source database") as connection:
                if not self._present(connection)[1]:
                    return []
                rows = connection.execute(self._statement("recent"), [limit]).fetchall()
        except Away as away:
            raise Problem(
                "TR-ACT-003",
                f"The log of actions cannot be read: {away.sentence}",
                exit_code=TRY_AGAIN,
            ) from away
        return [Entry(*row) for row in rows]

    def _present(self, connection: Connection) -> tuple[bool, bool]:
        row = connection.execute(self._statement("present")).fetchone()
        assert row is not None
        return row[0], row[1]

    def _make(self, connection: Connection) -> None:
        if all(self._present(connection)):
            return
        connection.execute(self._statement("make_alone"))
        has_schema, has_table = self._present(connection)
        if not has_schema:
            connection.execute(self._statement("make_schema"))
        if not has_table:
            connection.execute(self._statement("make"))

    def _statement(self, name: str) -> sql.Composed:
        schema, relation = sql.Identifier(self.schema), sql.Identifier(self.schema, TABLE)
        return sql.SQL(STATEMENTS[name]).format(
            schema=schema,
            namespace=sql.Literal(schema.as_string(None)),
            relation=relation,
            table=sql.Literal(relation.as_string(None)),
            function=sql.Identifier(self.schema, "refuse_change_of_actions"),
        )


def log_of(pipeline: Pipeline, spec: ConnectorSpec) -> Log:
    """The log of a pipeline."""
    return Log(pipeline.source.dsn, spec.control_schema)


def _unlogged(told: str, exit_code: int) -> Problem:
    return Problem(
        "TR-ACT-001",
        f"Nothing was done, because the log of actions cannot be written: {told}",
        exit_code=exit_code,
    )


def _told(error: BaseException) -> str:
    """A sentence without secrets: of other errors only the name."""
    if isinstance(error, Problem | ConnectorError | Away):
        return error.sentence
    return "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
