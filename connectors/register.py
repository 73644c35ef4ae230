"""
Plan, then apply: the source first, then the connector by Connect's REST.

    with Connect(spec.connect_url) as connect, psycopg.connect(dsn, autocommit=True) as source:
        at = At(connect, source)
        apply(spec, at, make_plan(spec, at))
"""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from connectors import errors, lossless
from connectors.catalogue import Slot, read, read_slot
from connectors.errors import ConnectorError, Finding, refuse_blocked
from connectors.hints import hint
from connectors.lifecycle import At, Say, gaps, silent, start, stop, wait_running
from connectors.plan import Change, Plan
from connectors.position import resumes_at
from connectors.prepare import plan_source
from connectors.render import masked, render
from connectors.spec import ConnectorSpec

LOCK_TIMEOUT_MS = 5_000
"""A statement of the plan gives up after this, so that no writer queues behind it for long."""

_OLDER_SLOT = (
    "The slot {slot} is there already, but Connect holds no position for it: without the lossless"
    " class a snapshot beside an older slot can miss changes. Drop the slot (connector delete"
    " --drop-slot) and apply again, or go on from it without a snapshot (apply --no-snapshot)."
)


def make_plan(spec: ConnectorSpec, at: At) -> Plan:
    """
    What `apply` would do. Raises ConnectorError when Connect or the source cannot be asked;
    what speaks against the plan is among its findings.
    """
    at.connect.version()
    source = read(at.source, spec)
    running = at.connect.config(spec.name)
    wanted = render(spec)
    plan = plan_source(spec, source) + Plan(tuple(diff(spec.name, running, wanted)))
    findings = [*plugin_findings(spec, at.connect.plugins()), *_slot(spec, source.slot, running)]
    if running is not None:
        findings += gaps(spec, at, source.slot)
    return Plan(plan.changes, (*plan.findings, *findings))


def apply(spec: ConnectorSpec, at: At, plan: Plan, say: Say = silent) -> None:
    """
    Apply a plan and wait until the connector and every task run. Applying again is harmless.

    Raises ConnectorError: a finding that blocks, a refused statement or setting, a failed task.
    """
    refuse_blocked(plan.findings)
    for change in plan.changes:
        if change.sql:
            say(f"{change.action} {change.subject}")
            execute(at.source, change)
    wanted = render(spec)
    named = wanted | {"name": spec.name}
    refuse_settings(spec, at.connect.refusals(spec.connector_class, named))
    running = at.connect.config(spec.name)
    if running is None:
        say(f"create connector {spec.name}")
        _create(spec, at, wanted, say)
    elif running == named:
        wait_running(at.connect, spec.name, say)
    else:
        say(f"change settings of connector {spec.name}")
        stop(spec, at, say)
        at.connect.put(spec.name, wanted)
        start(spec, at, say)


def _create(spec: ConnectorSpec, at: At, wanted: Mapping[str, str], say: Say) -> None:
    """Created stopped, since Connect may still hold a position under this name: look first."""
    at.connect.create_stopped(spec.name, wanted)
    try:
        slot = read_slot(at.source, spec.slot)
        stored = [(p, offset) for p, offset in at.connect.offsets(spec.name) if offset]
        begins_anew = not any(resumes_at(offset) is not None for _, offset in stored)
        if slot is not None and begins_anew and spec.snapshot == "initial" and not spec.lossless:
            raise ConnectorError(errors.SLOT_WRONG, _OLDER_SLOT.format(slot=spec.slot))
        if slot is not None and begins_anew and spec.snapshot == "no_data":
            begin = {"lsn": slot.confirmed, "ts_usec": 0}
            at.connect.patch_offsets(spec.name, [(p, begin) for p, _ in stored])
        refuse_blocked(gaps(spec, at, slot))
    except ConnectorError:
        at.connect.delete(spec.name)
        raise
    start(spec, at, say)


def diff(name: str, running: Mapping[str, str] | None, wanted: Mapping[str, str]) -> list[Change]:
    """Settings that differ, secrets starred. A connector that is not there is one change."""
    if running is None:
        return [Change("create", f"connector {name}", f"{len(wanted)} settings")]
    names = sorted({*wanted, *running} - {"name"})
    return [
        Change(
            "alter",
            f"setting {setting} of connector {name}",
            before=masked(setting, running.get(setting)),
            after=masked(setting, wanted.get(setting)),
        )
        for setting in names
        if running.get(setting) != wanted.get(setting)
    ]


def execute(source: psycopg.Connection[Any], change: Change) -> None:
    """Run one statement of a plan. Raises ConnectorError with the statement in it."""
    try:
        source.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS:d}")
        source.execute(change.sql)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConnectorError(
            errors.NO_CHANGE_RIGHT,
            f"Our role on the source may not do this ({_first(error)}): let a role that owns the"
            f" tables run it: {change.sql}",
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise ConnectorError(
            errors.LOCKED,
            f"{change.subject} is locked by a running transaction: apply again at a quieter time.",
        ) from error
    except psycopg.Error as error:
        raise ConnectorError(
            errors.SOURCE_STATEMENT,
            f"The source refused to {change.action} {change.subject}: {_first(error)}",
        ) from error
    finally:
        source.execute("RESET lock_timeout")


def refuse_settings(spec: ConnectorSpec, refusals: Mapping[str, str]) -> None:
    """Raise ConnectorError with the first setting that Connect refuses."""
    for setting, said in refusals.items():
        known = hint(said)
        if known:
            raise ConnectorError(known[0], f"{known[1]} Debezium says: {said}")
        more = f" ({len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise ConnectorError(
            errors.SETTINGS_REFUSED,
            f"Connect refuses setting {setting} of connector {spec.name}: {said}{more}",
        )


def plugin_findings(spec: ConnectorSpec, plugins: Mapping[str, str]) -> list[Finding]:
    """What the workers lack of the plugins that the connector needs."""
    if spec.connector_class in plugins:
        return []
    if lossless.PLAIN_CLASS not in plugins:
        sentence = (
            "The Connect workers have no Debezium connector for Postgres: unpack its plugin"
            f" archive into their plugin.path, put {lossless.JAR.name} beside its jars, and"
            " restart them."
        )
    else:
        sentence = (
            f"The Connect workers have Debezium but not {spec.connector_class}, without which"
            f" restarts lose changes: copy {lossless.JAR.name} (connectors/lossless/dist) into"
            " the folder of Debezium's jars on every worker and restart them."
        )
    return [Finding(errors.PLUGIN_MISSING, sentence)]


def _slot(
    spec: ConnectorSpec, slot: Slot | None, running: Mapping[str, str] | None
) -> Iterator[Finding]:
    if slot is None or (running is not None and running.get("slot.name") == spec.slot):
        return
    if slot.active_pid is not None:
        yield Finding(
            errors.SLOT_TAKEN,
            f"The slot {spec.slot} is being read by {slot.reader or 'another program'} (process"
            f" {slot.active_pid}), which is not connector {spec.name}: choose another slot name,"
            " or stop that reader.",
        )


def _first(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
