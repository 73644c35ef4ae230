"""
Plan, then apply: the source first, then the connector by Connect's REST.

    with connectors.open(spec, dsn) as at:
        plan = make_plan(spec, at)
        apply(spec, at, plan)
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import psycopg

from connectors import errors, lossless
from connectors.catalogue import Slot, read, wal_position
from connectors.errors import ConnectorError, Finding
from connectors.hints import first_line, hint
from connectors.plan import Change, Plan, refuse_blocked
from connectors.position import gap
from connectors.prepare import plan_source
from connectors.render import masked, render
from connectors.rest import Connect
from connectors.spec import ConnectorSpec

Say = Callable[[str], None]

LOCK_TIMEOUT_MS = 5_000
"""A statement of the plan gives up after this, so that no writer queues behind it for long."""

RUNNING_WITHIN_S = 60.0


class At(NamedTuple):
    """Where to work: Connect, and the source over a connection in autocommit mode."""

    connect: Connect
    source: psycopg.Connection[Any]


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
    findings = [*_plugin(spec, at.connect.plugins()), *_slot(spec, source.slot, running)]
    if running is not None:
        findings += gaps(spec, at, source.slot)
    return Plan(plan.changes, (*plan.findings, *findings))


def apply(spec: ConnectorSpec, at: At, plan: Plan, say: Say = lambda _: None) -> None:
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
    refuse_settings(spec, at.connect.refusals(spec.connector_class, wanted | {"name": spec.name}))
    if at.connect.config(spec.name) != wanted | {"name": spec.name}:
        say(f"giving connector {spec.name} its settings")
        at.connect.put(spec.name, wanted)
    wait_running(at.connect, spec.name, say)


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


def wait_running(
    connect: Connect,
    name: str,
    say: Say = lambda _: None,
    within_s: float = RUNNING_WITHIN_S,
) -> None:
    """
    Wait until the connector and every task are RUNNING.

    Raises ConnectorError: TR-CON-004 (or a code of the source) when one failed, TR-CON-005 when
    it takes longer than `within_s`.
    """
    deadline = time.monotonic() + within_s
    shown = ""
    while True:
        states = task_states(connect, name)
        refuse_failed(name, states)
        now = ", ".join(f"{part} {state}" for part, state, _ in states)
        if now != shown:
            say(now)
            shown = now
        if len(states) > 1 and all(state == "RUNNING" for _, state, _ in states):
            return
        if time.monotonic() > deadline:
            raise ConnectorError(
                errors.NOT_RUNNING_YET,
                f"Connector {name} does not run after {within_s:.0f} s ({now or 'no state'}):"
                " look at the Connect worker's log.",
            )
        time.sleep(0.1)


def task_states(connect: Connect, name: str) -> list[tuple[str, str, str]]:
    """(part, state, trace) of the connector and its tasks; empty before Connect knows them."""
    try:
        status = connect.status(name)
    except ConnectorError as error:
        if error.code == errors.CONNECTOR_UNKNOWN:
            return []
        raise
    parts = [("connector", status["connector"])]
    parts += [(f"task {task['id']}", task) for task in status["tasks"]]
    return [(part, state["state"], state.get("trace", "")) for part, state in parts]


def refuse_failed(name: str, states: list[tuple[str, str, str]]) -> None:
    """Raise ConnectorError for the first part that FAILED, with its cause and the next step."""
    for part, state, trace in states:
        if state == "FAILED":
            line = first_line(trace)
            code, step = hint(trace) or (
                errors.TASK_FAILED,
                "See the Connect worker's log for the rest, then run connector restart.",
            )
            raise ConnectorError(code, f"The {part} of {name} failed: {line}. {step}")


def gaps(spec: ConnectorSpec, at: At, slot: Slot | None) -> list[Finding]:
    """What the source no longer has of what the connector needs; `slot` was read before."""
    offsets = at.connect.offsets(spec.name)
    wal = wal_position(at.source)
    found = [gap(spec.slot, slot, offset, wal) for _, offset in offsets if offset]
    return [finding for finding in found if finding is not None]


def _plugin(spec: ConnectorSpec, plugins: Mapping[str, str]) -> list[Finding]:
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
    elif spec.snapshot == "initial":
        yield Finding(
            errors.SLOT_WRONG,
            f"The slot {spec.slot} is there already, but connector {spec.name} is not: a snapshot"
            " beside an older slot can miss changes. Drop the slot (connector delete --drop-slot),"
            " or go on from it without a snapshot (--no-snapshot).",
        )


def _first(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
