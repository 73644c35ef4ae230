"""What a Postgres sink says of a change: how far it is, and what its row is now."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from consumer.errors import Refused
from consumer.event import ChangeEvent, Position, TopicPartition
from sinks.rows import QUOTE
from sinks.target import Target, load_statements, read_targets
from tailrace.databases import Connection, why
from tailrace.trace.view import RowState

STATEMENTS = load_statements(Path(__file__).with_name("trace.sql"))


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a sink is in one partition, and the life of the source that it counts."""

    next_offset: int
    life: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The positions of the change that a row shows, and of the one that deleted it."""

    row: Position | None
    grave: Position | None


Marks = Mapping[TopicPartition, Reached]
RowKey = tuple[str, bytes]
"""Table, and key as Debezium wrote it."""


def marks(connection: Connection, group: str) -> Marks:
    """Of every partition that the sink has met. Raises psycopg.Error where its table is not."""
    rows = connection.execute(STATEMENTS["marks"], [group])
    return {TopicPartition(topic, n): Reached(offset, life) for topic, n, offset, life in rows}


def look(
    connection: Connection, group: str, changes: Sequence[ChangeEvent]
) -> tuple[Marks, Mapping[RowKey, Shown | str]]:
    """All at one moment: marks, and each change's row, or the sentence why it is not known."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        reached = marks(connection, group)
        rows = {(c.table, c.key): c for c in changes if c.op != "t"}
        found = {of: _row(connection, change) for of, change in rows.items()}
    return reached, found


def _row(connection: Connection, change: ChangeEvent) -> Shown | str:
    try:
        with connection.transaction():
            target = read_targets(connection, [change.table]).get(change.table)
            if target is None:
                return f"there is no table {change.table}"
            return _shown(connection, target, change)
    except Refused as error:
        return str(error)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return why(error)
    except (msgspec.MsgspecError, ValueError, csv.Error):
        return "its key does not fit the target's"


def _shown(connection: Connection, target: Target, change: ChangeEvent) -> Shown:
    names = [sql.Identifier(column.name) for column in target.deletes.columns]
    same = sql.SQL(" AND ").join(sql.SQL("t.{} = %s").format(name) for name in names)
    query = sql.SQL(STATEMENTS["row_now"]).format(target=target.relation, same_key=same)
    row = connection.execute(query, key_values(target, change)).fetchone()
    graves = connection.execute(
        STATEMENTS["tombstones_now"], [target.name, change.key.decode()]
    ).fetchall()
    return Shown(
        Position(*row) if row else None,
        max((Position(*position) for _, *position in graves), default=None),
    )


def key_values(target: Target, change: ChangeEvent) -> list[str]:
    """The values of the key as the sink writes them. Raises ValueError, msgspec's errors."""
    codec = target.deletes.codec
    (line,) = codec.lines([change], [codec.read(change.key)])
    (fields,) = csv.reader([line], quotechar=QUOTE, strict=True)
    return fields[: len(codec.columns)]


def judge(change: ChangeEvent, life: int, found: Shown | str) -> tuple[RowState, Position | None]:
    """What the row is now to this change, as one sees it who counts `life` lives more."""
    if isinstance(found, str):
        return "unknown", None
    at = change.position
    mine = Position(at.gen + life, at.commit, at.lsn)
    if found.row is not None and (found.grave is None or found.row > found.grave):
        if found.row == mine:
            return "shows it", found.row
        return (
            "shows a later change" if found.row > mine else "shows an earlier change"
        ), found.row
    if found.grave is None:
        return "is not there", None
    if found.grave == mine:
        return "deleted by it", found.grave
    return ("deleted by a later change" if found.grave > mine else "is not there"), found.grave
