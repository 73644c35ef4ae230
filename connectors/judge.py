"""What speaks against a connector on this source: pure, one sentence each, with the way out."""

from collections.abc import Iterator

from connectors import errors
from connectors.catalogue import Slot, Source, Table
from connectors.columns import loss
from connectors.errors import Finding
from connectors.render import HEARTBEAT, SIGNAL
from connectors.spec import ConnectorSpec, SourceTable


def findings(spec: ConnectorSpec, source: Source) -> Iterator[Finding]:
    """Everything wrong with the source, the server's faults first."""
    yield from _server(source)
    yield from _role(spec, source)
    for wanted in spec.tables:
        yield from _table(spec, wanted, source.tables.get(wanted.full))
    yield from _publication(spec, source)
    if source.slot is not None:
        yield from slot_findings(spec, source.slot, source.server.database)


def slot_findings(spec: ConnectorSpec, slot: Slot, database: str) -> Iterator[Finding]:
    """What is wrong with a slot that is there, but for who reads it."""
    if slot.plugin != "pgoutput" or slot.database != database:
        yield Finding(
            errors.SLOT_WRONG,
            f"The slot {spec.slot} belongs to database {slot.database or '(none)'} with plugin"
            f" {slot.plugin or '(physical)'}, not to {database} with pgoutput:"
            " choose another slot name.",
        )
    if slot.wal_status == "lost":
        reason = f" ({slot.invalidation_reason})" if slot.invalidation_reason else ""
        yield Finding(
            errors.SLOT_LOST,
            f"The slot {spec.slot} is lost{reason}: the server has thrown away log that was not"
            " delivered. Delete the connector with its slot, apply again, and let it take a new"
            " snapshot; raise max_slot_wal_keep_size or idle_replication_slot_timeout before.",
        )


def _server(source: Source) -> Iterator[Finding]:
    server = source.server
    if server.wal_level != "logical":
        yield Finding(
            errors.WAL_LEVEL,
            f"The source has wal_level={server.wal_level}, which leaves out what logical decoding"
            " needs: run ALTER SYSTEM SET wal_level = logical and restart the server.",
        )
    if source.slot is None and server.slots >= server.max_slots:
        yield Finding(
            errors.SLOTS_EXHAUSTED,
            f"All {server.max_slots} replication slots of the source are taken: drop one that is"
            " no longer used or raise max_replication_slots.",
        )


def _role(spec: ConnectorSpec, source: Source) -> Iterator[Finding]:
    role = source.role
    if role is None or not role.can_login:
        yield Finding(
            errors.LOGIN_REFUSED,
            f"The source has no role {spec.user} that may log in: create it with"
            f" CREATE ROLE {spec.user} LOGIN REPLICATION and a password.",
        )
    elif not role.may_replicate:
        yield Finding(
            errors.NO_REPLICATION_RIGHT,
            f"Role {spec.user} may not stream the log: run ALTER ROLE {spec.user} REPLICATION"
            " (on Amazon RDS: GRANT rds_replication to it).",
        )


def _table(spec: ConnectorSpec, wanted: SourceTable, table: Table | None) -> Iterator[Finding]:
    if table is None:
        yield Finding(
            errors.TABLE_MISSING,
            f"There is no table {wanted.full} in the source: "
            + (
                "run `tailrace events create`."
                if wanted.schema == "eventstore"
                else "create it first, or correct its name (names are case-sensitive here)."
            ),
        )
        return
    if table.kind not in "rp" or table.persistence != "p":
        yield Finding(
            errors.TABLE_MISSING,
            f"{wanted.full} is not a table whose changes are logged (it is a view, a foreign or an"
            " unlogged table): name the tables behind it.",
        )
        return
    if not table.may_select:
        yield Finding(
            errors.NO_SELECT_RIGHT,
            f"Role {spec.user} may not read {wanted.full}, which snapshots need: run GRANT USAGE"
            f" ON SCHEMA {wanted.schema} and GRANT SELECT ON {wanted.full} TO {spec.user}.",
        )
    yield from _key(wanted, table)
    yield from _columns(wanted, table)


def _key(wanted: SourceTable, table: Table) -> Iterator[Finding]:
    if wanted.append_only or any(key.primary for key in table.keys):
        return
    if not wanted.key:
        yield Finding(
            errors.KEYLESS_TABLE,
            f"{wanted.full} has no primary key (a deferrable one does not count), so the changes"
            " of a row cannot be told apart: give it one, or leave the table out.",
        )
    elif not any(set(key.columns) == set(wanted.key) for key in table.keys):
        yield Finding(
            errors.KEYLESS_TABLE,
            f"{wanted.full} has no unique index over just the NOT NULL columns"
            f" {', '.join(wanted.key)}: create one, or name other columns as its key.",
        )


def _columns(wanted: SourceTable, table: Table) -> Iterator[Finding]:
    there = {column.name for column in table.columns}
    for name in {*wanted.exclude_columns, *wanted.accept_columns, *wanted.key} - there:
        yield Finding(errors.COLUMN_TYPE, f"{wanted.full} has no column {name}: correct the name.")
    for column in table.columns:
        why = loss(column)
        if why is None or column.name in wanted.exclude_columns:
            continue
        accepted = column.generated or column.name in wanted.accept_columns
        way_out = "" if accepted else " Give it another type, or leave the table out."
        yield Finding(
            errors.COLUMN_TYPE,
            f"Column {wanted.full}.{column.name} ({column.shown}) {why}.{way_out}",
            blocks=not accepted,
        )


def _publication(spec: ConnectorSpec, source: Source) -> Iterator[Finding]:
    there = source.publication
    if there is None:
        return
    own = (there.remark or "").startswith("tailrace connector ")
    wanted = {table.full for table in spec.tables}
    wanted |= {f"{spec.control_schema}.{table}" for table in (HEARTBEAT, SIGNAL)}
    extra = sorted(set(there.tables) - wanted)
    if there.all_tables or there.unnamed:
        yield Finding(
            errors.PUBLICATION_TAKEN,
            f"The publication {spec.publication} publishes all tables or whole schemas, not just"
            " the configured ones: choose another publication name.",
        )
    elif extra and not own:
        yield Finding(
            errors.PUBLICATION_TAKEN,
            f"The publication {spec.publication} was not made by tailrace and also publishes"
            f" {', '.join(extra)}, which others may read: choose another publication name.",
        )
    elif partial := sorted(full for full, filtered in there.tables.items() if filtered):
        yield Finding(
            errors.PUBLICATION_TAKEN,
            f"The publication {spec.publication} has a row filter or a column list on"
            f" {', '.join(partial)}, so changes would be missing: take it off.",
        )
