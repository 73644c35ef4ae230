"""What the source database has of what a connector needs: facts, read in one go, not judged."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from connectors.columns import Column
from connectors.errors import SOURCE_STATEMENT, ConnectorError
from connectors.render import HEARTBEAT, SIGNAL
from connectors.spec import ConnectorSpec
from connectors.statements import statements


@dataclass(frozen=True, slots=True)
class Server:
    """The server as a whole."""

    version_num: int
    wal_level: str
    in_recovery: bool
    max_slots: int
    slots: int
    database: str


@dataclass(frozen=True, slots=True)
class Role:
    """The role that the connector logs in as."""

    can_login: bool
    may_replicate: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A unique index that can identify a row."""

    index: str
    primary: bool
    identity: bool
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A configured table; `kind` and `persistence` are pg_class's letters."""

    schema: str
    name: str
    oid: int
    kind: str
    persistence: str
    may_select: bool
    identities: frozenset[str]
    partitions: tuple[str, ...]
    keys: tuple[Key, ...]
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication; `tables` maps full names to whether rows or columns are filtered out."""

    all_tables: bool
    via_root: bool
    all_operations: bool
    remark: str | None
    tables: Mapping[str, bool]
    unnamed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot; `confirmed` is its confirmed_flush_lsn as a number."""

    plugin: str
    database: str
    active_pid: int | None
    reader: str
    wal_status: str | None
    confirmed: int | None
    retained_bytes: int | None
    safe_wal_bytes: int | None
    failover: bool
    invalidation_reason: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """Everything a plan is made from. What does not exist is None or missing."""

    server: Server
    role: Role | None
    tables: Mapping[str, Table]
    publication: Publication | None
    slot: Slot | None
    control: Mapping[str, tuple[bool, bool]]
    """For heartbeat and signal: whether the table is there, and usable by the role."""


def read(connection: psycopg.Connection[Any], spec: ConnectorSpec) -> Source:
    """Read the catalogue. Raises ConnectorError (TR-SRC-018) when a query is refused."""
    try:
        return _read(connection, spec)
    except psycopg.Error as error:
        raise ConnectorError(
            SOURCE_STATEMENT, f"The source refused a question about its catalogue: {error}"
        ) from error


def read_slot(connection: psycopg.Connection[Any], slot: str) -> Slot | None:
    """The replication slot of that name."""
    return read_slots(connection, [slot]).get(slot)


def read_slots(connection: psycopg.Connection[Any], slots: Sequence[str]) -> dict[str, Slot]:
    """Those of the replication slots that are there, by their names."""
    rows = _rows(connection, "slot", {"slots": list(slots)})
    return {row["slot"]["slot_name"]: _slot(row["slot"]) for row in rows}


def _slot(row: Mapping[str, Any]) -> Slot:
    return Slot(
        plugin=row["plugin"] or "",
        database=row["database"] or "",
        active_pid=row["active_pid"],
        reader=row["reader"] or "",
        wal_status=row["wal_status"],
        confirmed=row["confirmed"],
        retained_bytes=row["retained_bytes"],
        safe_wal_bytes=row["safe_wal_size"],
        failover=bool(row.get("failover")),
        invalidation_reason=row.get("invalidation_reason"),
    )


def wal_position(connection: psycopg.Connection[Any]) -> int:
    """The LSN, as a number, up to which the server's log is on disk."""
    return int(_rows(connection, "wal_position", {})[0]["position"])


def last_beat_ms(connection: psycopg.Connection[Any], spec: ConnectorSpec) -> int | None:
    """Milliseconds since the connector last wrote its heartbeat row; None when it never did."""
    return last_beats_ms(connection, spec.control_schema, [spec.slot]).get(spec.slot)


def last_beats_ms(
    connection: psycopg.Connection[Any], control_schema: str, slots: Sequence[str]
) -> dict[str, int]:
    """The same of each slot whose connector ever did."""
    query = statements("source.sql")["last_beat"].format(
        heartbeat=sql.Identifier(control_schema, HEARTBEAT)
    )
    try:
        rows = connection.execute(query, {"slots": list(slots)}).fetchall()
    except psycopg.errors.UndefinedTable:
        return {}
    return {slot: int(age_ms) for slot, age_ms in rows}


def _read(connection: psycopg.Connection[Any], spec: ConnectorSpec) -> Source:
    names = {
        "role": spec.user,
        "publication": spec.publication,
        "slot": spec.slot,
        "schemas": [table.schema for table in spec.tables],
        "names": [table.name for table in spec.tables],
    }
    role = _rows(connection, "role", names)
    control = {"names": [HEARTBEAT, SIGNAL], "schema": spec.control_schema, "role": spec.user}
    return Source(
        server=Server(**_rows(connection, "server", {})[0]),
        role=Role(**role[0]) if role else None,
        tables=_tables(connection, names),
        publication=_publication(connection, names),
        slot=read_slot(connection, spec.slot),
        control={
            row["name"]: (row["there"], row["usable"])
            for row in _rows(connection, "control", control)
        },
    )


def _tables(connection: psycopg.Connection[Any], names: Mapping[str, object]) -> dict[str, Table]:
    tables = [_table(row) for row in _rows(connection, "tables", names)]
    columns: dict[int, list[Column]] = defaultdict(list)
    for row in _rows(connection, "columns", {"oids": [table.oid for table in tables]}):
        columns[row.pop("oid")].append(Column(**row))
    return {
        f"{table.schema}.{table.name}": replace(table, columns=tuple(columns[table.oid]))
        for table in tables
    }


def _table(row: dict[str, Any]) -> Table:
    keys = tuple(
        Key(key["index"], key["primary"], key["identity"], tuple(key["columns"]))
        for key in row.pop("keys")
    )
    identities, partitions = frozenset(row.pop("identities")), tuple(row.pop("partitions"))
    return Table(**row, identities=identities, partitions=partitions, keys=keys)


def _publication(
    connection: psycopg.Connection[Any], names: Mapping[str, object]
) -> Publication | None:
    found = _rows(connection, "publication", names)
    if not found:
        return None
    tables = _rows(connection, "publication_tables", names)
    full = {id(row): f"{row['schema']}.{row['name']}" for row in tables}
    return Publication(
        **found[0],
        tables={full[id(row)]: row["partial"] for row in tables},
        unnamed=frozenset(full[id(row)] for row in tables if not row["named"]),
    )


def _rows(
    connection: psycopg.Connection[Any], name: str, parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    query = statements("source.sql")[name]
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()
