"""The source database: may a connector read it, and will it keep its log?"""

from connectors import errors
from tailrace.doctor.check import (
    SNAPSHOT_ANEW,
    Check,
    Verdict,
    failed,
    ok,
    size,
    some,
    told,
    unknown,
    warning,
)
from tailrace.doctor.clock import clock
from tailrace.doctor.facts import Source

LONG_TRANSACTION_S = 300
MUCH_LOG_BYTES = 1 << 30
APPLY = "tailrace connector apply"


def primary(source: Source) -> list[Verdict]:
    """A standby takes no heartbeat."""
    if source.catalogue.server.in_recovery:
        return [
            failed(
                "The source is a standby, where no heartbeat can be written: name the primary.",
                "source.dsn: postgresql://USER@PRIMARY:5432/DATABASE",
            )
        ]
    return [ok("takes writes")]


def wal_level(source: Source) -> list[Verdict]:
    """Logical decoding needs more log than the default."""
    fix = "ALTER SYSTEM SET wal_level = logical; then restart it"
    found = told(source.plan.findings, [errors.WAL_LEVEL], fix)
    return found or [ok(source.catalogue.server.wal_level)]


def room(source: Source) -> list[Verdict]:
    """A slot and a sender are taken by each connector."""
    server = source.catalogue.server
    free_senders = source.max_senders - source.senders
    more = f"ALTER SYSTEM SET max_replication_slots = {server.max_slots + 10}; then restart it"
    troubles = told(source.plan.findings, [errors.SLOTS_EXHAUSTED], more)
    if free_senders <= 0 and (
        source.catalogue.slot is None or not source.catalogue.slot.active_pid
    ):
        troubles.append(
            failed(
                f"All {source.max_senders} WAL senders are in use, so the connector cannot stream.",
                f"ALTER SYSTEM SET max_wal_senders = {source.max_senders + 10}; then restart it",
            )
        )
    free_slots = server.max_slots - server.slots
    slots = f"{free_slots} of {server.max_slots} slots"
    return troubles or [ok(f"{slots} and {free_senders} of {source.max_senders} senders free")]


def role(source: Source) -> list[Verdict]:
    """The connector logs in with it."""
    user, found = source.spec.user, source.plan.findings
    create = f"CREATE ROLE {user} LOGIN REPLICATION PASSWORD '…';"
    return (
        told(found, [errors.LOGIN_REFUSED], create)
        + told(found, [errors.NO_REPLICATION_RIGHT], f"ALTER ROLE {user} REPLICATION;")
    ) or [ok(f"{user} may log in and stream the log")]


def select(source: Source) -> list[Verdict]:
    """Snapshots read the tables."""
    user = source.spec.user
    closed = [name for name, table in source.catalogue.tables.items() if not table.may_select]
    schemas = sorted({name.partition(".")[0] for name in closed})
    fix = (
        f"GRANT USAGE ON SCHEMA {', '.join(schemas)} TO {user};"
        f" GRANT SELECT ON {', '.join(sorted(closed))} TO {user};"
    )
    found = told(source.plan.findings, [errors.NO_SELECT_RIGHT], fix)
    return found or [ok(f"{user} may read every table")]


def tables(source: Source) -> list[Verdict]:
    """Those that the file names."""
    fix = "SELECT schemaname, tablename FROM pg_tables; then correct source.tables"
    found = told(source.plan.findings, [errors.TABLE_MISSING], fix)
    return found or [ok(f"{len(source.spec.tables)} table(s) there")]


def keys(source: Source) -> list[Verdict]:
    """Without one the changes of a row cannot be told apart."""
    without = [name for name, table in source.catalogue.tables.items() if not table.keys]
    fix = f"ALTER TABLE {some(without, 1) or '…'} ADD PRIMARY KEY (…);"
    return told(source.plan.findings, [errors.KEYLESS_TABLE], fix) or [ok("every table has one")]


def types(source: Source) -> list[Verdict]:
    """Some do not travel through Debezium."""
    found = told(source.plan.findings, [errors.COLUMN_TYPE])
    noted = [verdict for verdict in found if verdict.state == "warning"]
    notes = f"; notes on {len(noted)} in `tailrace connector plan`" if noted else ""
    refused = [verdict for verdict in found if verdict.state == "failed"]
    return refused or [ok(f"every column travels whole{notes}")]


def publication(source: Source) -> list[Verdict]:
    """It says which tables' changes are sent."""
    name = source.spec.publication
    troubles = told(source.plan.findings, [errors.PUBLICATION_TAKEN])
    if pending := _pending(source, "publication"):
        what = "is not there" if source.catalogue.publication is None else f"lacks: {pending}"
        troubles.append(failed(f"The publication {name} {what}.", APPLY))
    return troubles or [ok(f"{name} covers every table")]


def identity(source: Source) -> list[Verdict]:
    """It says what of an old row is in the log."""
    return [
        failed(f"The {change.subject} does not do: {change.why}.", f"{change.sql};")
        for change in source.plan.changes
        if change.subject.startswith("replica identity")
    ] or [ok("as every table needs it")]


def control(source: Source) -> list[Verdict]:
    """Heartbeats are written there."""
    there = source.catalogue.control.values()
    if not all(exists and usable for exists, usable in there):
        schema = source.spec.control_schema
        return [
            failed(f"The connector's own tables in schema {schema} are missing or closed.", APPLY)
        ]
    return [ok("heartbeat and signal table there, and open to the connector")]


def slot(source: Source) -> list[Verdict]:
    """It holds the log that is still to be delivered."""
    there, name = source.catalogue.slot, source.spec.slot
    if there is None:
        return [failed(f"There is no replication slot {name}, so nothing is kept.", APPLY)]
    troubles = told(source.plan.findings, [errors.SLOT_WRONG])
    troubles += told(source.plan.findings, [errors.SLOT_LOST], SNAPSHOT_ANEW)
    if there.wal_status == "unreserved":
        troubles.append(
            failed(
                f"The slot {name} is about to be lost: the connector must catch up at once.",
                "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf();",
            )
        )
    reader = f"read by {there.reader or 'nobody'}"
    return troubles or [ok(f"{name} is {there.wal_status or 'there'}, {reader}")]


def retained(source: Source) -> list[Verdict]:
    """A slot that nobody reads keeps log until the disk is full, or until its limit."""
    there = source.catalogue.slot
    if there is None or there.retained_bytes is None:
        return [unknown("There is no slot yet.")]
    kept, limit = there.retained_bytes, source.kept_bytes
    if limit is None:
        if kept < MUCH_LOG_BYTES:
            return [ok(f"{size(kept)} kept, without a limit")]
        return [
            warning(
                f"The slot keeps {size(kept)} of log, and nothing limits it: the disk may fill up."
                " Let the connector catch up, or set a limit beyond which the slot is lost.",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
            )
        ]
    said = f"{size(kept)} of {size(limit)} allowed"
    if kept * 2 < limit:
        return [ok(said)]
    judge = failed if kept > 0.9 * limit else warning
    return [
        judge(
            f"The slot keeps {said}; beyond that it is lost, and a new snapshot needed.",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf();",
        )
    ]


def transactions(source: Source) -> list[Verdict]:
    """Nothing of one is sent before its end, and the slot keeps the log from its beginning."""
    longest = source.longest
    if longest is not None and longest.age_s > LONG_TRANSACTION_S:
        return [
            warning(
                f"A transaction of {longest.application} has been open for"
                f" {longest.age_s / 60:,.0f} min and holds the slot back.",
                f"SELECT pg_terminate_backend({longest.pid});",
            )
        ]
    if not source.sees_all_sessions:
        return [
            unknown(
                "Our role does not see other roles' sessions.",
                f"GRANT pg_read_all_stats TO {source.spec.user};",
            )
        ]
    return [ok(f"none is older than {LONG_TRANSACTION_S // 60} min")]


def _pending(source: Source, word: str) -> str:
    changes = [change for change in source.plan.changes if word in change.subject]
    return some([change.why or change.subject for change in changes])


CHECKS = tuple(
    Check(name, ("source",), judge)
    for name, judge in (
        ("primary", primary),
        ("wal level", wal_level),
        ("slots and senders", room),
        ("role", role),
        ("select right", select),
        ("tables", tables),
        ("keys", keys),
        ("column types", types),
        ("publication", publication),
        ("replica identity", identity),
        ("control tables", control),
        ("slot", slot),
        ("retained log", retained),
        ("long transactions", transactions),
        ("clock", clock),
    )
)
