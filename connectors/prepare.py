"""
What the source database still needs for a connector, as a pure function of facts.

The publication must be there before the slot: decoding fails in every change that was made
between the two. With an initial snapshot the connector makes the slot itself: only then do all
tables show one moment, the one at which the stream begins (the slot exports that snapshot).
"""

from collections.abc import Iterator

from psycopg import sql

from connectors.catalogue import Publication, Source, Table
from connectors.columns import needs_full_identity
from connectors.errors import Finding
from connectors.judge import findings
from connectors.plan import Change, Plan
from connectors.render import HEARTBEAT, SIGNAL
from connectors.spec import ConnectorSpec, SourceTable
from connectors.statements import statements


def plan_source(spec: ConnectorSpec, source: Source) -> Plan:
    """The changes that the source needs, in order, and everything that speaks against it."""
    changes = [
        *_control_tables(spec, source),
        *_publication(spec, source),
        *_identities(spec, source),
        *_slot(spec, source),
    ]
    found: tuple[Finding, ...] = tuple(findings(spec, source))
    return Plan(tuple(changes), found)


def remark(spec: ConnectorSpec) -> str:
    """The comment that marks a publication as this connector's."""
    return f"tailrace connector {spec.name}"


def _control_tables(spec: ConnectorSpec, source: Source) -> Iterator[Change]:
    schema = sql.Identifier(spec.control_schema)
    if not any(there for there, _ in source.control.values()):
        yield Change("create", f"schema {spec.control_schema}", "", _text("schema", schema=schema))
    why = {
        HEARTBEAT: "keeps lag truthful and the slot moving while the tables are quiet",
        SIGNAL: "snapshots of single tables and keys are asked for here",
    }
    for name, (there, usable) in source.control.items():
        table = sql.Identifier(spec.control_schema, name)
        subject = f"table {spec.control_schema}.{name}"
        if not there:
            yield Change("create", subject, why[name], _text(name, table=table))
        if not usable:
            grant = _text("grant", schema=schema, table=table, role=sql.Identifier(spec.user))
            yield Change("alter", subject, f"role {spec.user} writes it", grant)


def _publication(spec: ConnectorSpec, source: Source) -> Iterator[Change]:
    there = source.publication
    subject = f"publication {spec.publication}"
    name = sql.Identifier(spec.publication)
    wanted = {t.full: sql.Identifier(t.schema, t.name) for t in spec.tables}
    for table in (HEARTBEAT, SIGNAL):
        full = f"{spec.control_schema}.{table}"
        wanted[full] = sql.Identifier(spec.control_schema, table)
    if there is None:
        listed = sql.SQL(", ").join(wanted.values())
        text = _text("publication", publication=name, tables=listed)
        yield Change("create", subject, ", ".join(wanted), text)
        mark = _text("publication_remark", publication=name, remark=sql.Literal(remark(spec)))
        yield Change("alter", subject, "marks it as this connector's", mark)
        return
    if not (there.all_operations and there.via_root):
        text = _text("publication_options", publication=name)
        yield Change("alter", subject, "publish all four operations, via the root", text)
    yield from _publication_tables(subject, there, name, wanted)


def _publication_tables(
    subject: str, there: Publication, name: sql.Identifier, wanted: dict[str, sql.Identifier]
) -> Iterator[Change]:
    for full, table in wanted.items():
        if full not in there.tables:
            text = _text("add_table", publication=name, table=table)
            yield Change("alter", subject, f"add {full}", text)
    for full in sorted(set(there.tables) - set(wanted)):
        schema, _, table_name = full.partition(".")
        table = sql.Identifier(schema, table_name)
        text = _text("drop_table", publication=name, table=table)
        yield Change("drop", f"{full} from {subject}", "its changes stop arriving", text)


def _identities(spec: ConnectorSpec, source: Source) -> Iterator[Change]:
    for wanted in spec.tables:
        table = source.tables.get(wanted.full)
        if table is not None and table.kind in "rp":
            yield from _identity(wanted, table)


def _identity(wanted: SourceTable, table: Table) -> Iterator[Change]:
    subject = f"replica identity of {wanted.full}"
    large = [
        column.name
        for column in table.columns
        if column.name not in wanted.exclude_columns and needs_full_identity(column)
    ]
    if large or wanted.append_only:
        if table.identities != {"f"}:
            yield from _alter_all(subject, wanted, table, "identity_full", _why_full(wanted, large))
    elif wanted.key:
        index = next((k for k in table.keys if set(k.columns) == set(wanted.key)), None)
        if index and not index.identity:
            why = f"rows are known by {', '.join(wanted.key)}"
            named = sql.Identifier(index.index)
            text = _text("identity_index", table=_identifier(wanted), index=named)
            yield Change("alter", subject, why, text)
    elif "n" in table.identities:
        why = "rows are known by the primary key"
        yield from _alter_all(subject, wanted, table, "identity_default", why)


def _alter_all(
    subject: str, wanted: SourceTable, table: Table, statement: str, why: str
) -> Iterator[Change]:
    """An ALTER TABLE for the table and each of its partitions, which do not inherit it."""
    yield Change("alter", subject, why, _text(statement, table=_identifier(wanted)))
    for partition in table.partitions:
        text = _text(statement, table=sql.SQL(partition))
        yield Change("alter", f"{subject}, partition {partition}", why, text)


def _why_full(wanted: SourceTable, large: list[str]) -> str:
    price = "price: every UPDATE and DELETE writes the whole old row to the log"
    if wanted.append_only:
        return f"without a key the application could no longer update it; {price}"
    return f"unchanged large values of {', '.join(large)} would arrive as NULL; {price}"


def _slot(spec: ConnectorSpec, source: Source) -> Iterator[Change]:
    if source.slot is not None:
        return
    if spec.snapshot == "initial":
        why = "by the connector at its first start, so that its snapshot meets the stream exactly"
        yield Change("create", f"replication slot {spec.slot}", why)
        return
    failover = spec.failover_slot and source.server.version_num >= 170000
    name = "slot_with_failover" if failover else "slot"
    text = _text(name, slot=sql.Literal(spec.slot))
    yield Change("create", f"replication slot {spec.slot}", "changes are kept from here on", text)


def _identifier(table: SourceTable) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _text(name: str, **parts: sql.Composable) -> str:
    return statements("prepare.sql")[name].format(**parts).as_string(None)
