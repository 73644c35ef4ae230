"""A connector in its daily life: status, pause, resume, restart, delete."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from connectors import errors, lossless
from connectors.catalogue import Publication, Slot, last_beat_ms, read, read_slot
from connectors.errors import ConnectorError, Finding
from connectors.hints import first_line, hint
from connectors.judge import slot_findings
from connectors.lifecycle import (
    At,
    Say,
    State,
    await_state,
    forget_position,
    gaps,
    silent,
    start,
    states,
    stop,
    wait_until,
)
from connectors.plan import Change
from connectors.position import resumes_at
from connectors.register import diff, execute
from connectors.render import render
from connectors.spec import ConnectorSpec
from connectors.statements import statements

BEATS_MISSED = 6
"""So many heartbeat intervals without a beat mean that nothing arrives, whatever REST says."""


@dataclass(frozen=True, slots=True)
class Part:
    """The connector itself or one task, in Connect's words."""

    part: str
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class Status:
    """
    A connector as it is now. `drift`: settings that differ from ours. `position`: the LSN from
    which it would go on. `beat_age_ms`: since it last proved that it streams.
    """

    name: str
    state: str
    lossless: bool
    parts: tuple[Part, ...]
    drift: tuple[Change, ...]
    slot: Slot | None
    position: int | None
    beat_age_ms: int | None
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return self.state == "RUNNING" and not any(finding.blocks for finding in self.findings)


def status(spec: ConnectorSpec, at: At) -> Status:
    """
    Judge a connector by its tasks, its slot and its heartbeat, not by REST's RUNNING alone.

    Raises ConnectorError when Connect or the source cannot be asked, or knows no such connector.
    """
    at.connect.version()
    found = states(at.connect, spec.name)
    running = at.connect.config(spec.name)
    if running is None:
        raise ConnectorError(
            errors.CONNECTOR_UNKNOWN,
            f"There is no connector {spec.name}: create it with connector apply.",
        )
    slot = read_slot(at.source, spec.slot)
    offsets = at.connect.offsets(spec.name)
    beat_age_ms = last_beat_ms(at.source, spec)
    findings = [*task_findings(found), *gaps(spec, at, slot)]
    if slot is not None:
        findings += slot_findings(spec, slot, str(at.source.info.dbname))
    findings += class_finding(spec, running["connector.class"])
    state = _state(found)
    if state == "RUNNING":
        findings += beat_finding(spec, beat_age_ms)
    return Status(
        name=spec.name,
        state=state,
        lossless=running["connector.class"] == lossless.CONNECTOR_CLASS,
        parts=tuple(Part(part, state, first_line(trace)) for part, state, trace in found),
        drift=tuple(diff(spec.name, running, render(spec))),
        slot=slot,
        position=next((resumes_at(offset) for _, offset in offsets if offset), None),
        beat_age_ms=beat_age_ms,
        findings=tuple(findings),
    )


def pause(spec: ConnectorSpec, at: At) -> None:
    """Pause and wait for it: nothing is sent, the slot keeps the log."""
    at.connect.pause(spec.name)
    await_state(at.connect, spec.name, "PAUSED")


def resume(spec: ConnectorSpec, at: At, say: Say = silent) -> None:
    """Resume after a pause or a stop and wait until every task runs. Raises as `start`."""
    start(spec, at, say)


def restart(spec: ConnectorSpec, at: At, say: Say = silent) -> None:
    """Stop and start a connector without losing a change, lossless class or not."""
    stop(spec, at, say)
    start(spec, at, say)


def delete(
    spec: ConnectorSpec,
    at: At,
    *,
    drop_slot: bool = False,
    drop_publication: bool = False,
    say: Say = silent,
) -> None:
    """
    Remove the connector. Its slot (which keeps the source's log growing) and publication go only
    when asked for; with the slot goes the position reached, which is worth nothing without it.
    """
    if at.connect.config(spec.name) is not None:
        say(f"stopping connector {spec.name}")
        at.connect.stop(spec.name)
        await_state(at.connect, spec.name, "STOPPED")
        if drop_slot:
            forget_position(spec, at)
        at.connect.delete(spec.name)
    source = read(at.source, spec)
    if drop_slot and source.slot is not None:
        _drop_slot(spec, at.source, say)
    if drop_publication and source.publication is not None:
        _drop_publication(spec, at.source, source.publication, say)


def _drop_slot(spec: ConnectorSpec, source: psycopg.Connection[Any], say: Say) -> None:
    def free() -> bool:
        slot = read_slot(source, spec.slot)
        return slot is None or slot.active_pid is None

    wait_until(
        free, f"The slot {spec.slot} is still being read: stop its reader.", errors.SLOT_TAKEN
    )
    subject = f"replication slot {spec.slot}"
    text = statements("prepare.sql")["drop_slot"].format(slot=sql.Literal(spec.slot))
    say(f"drop {subject}")
    execute(source, Change("drop", subject, sql=text.as_string(None)))


def _drop_publication(
    spec: ConnectorSpec, source: psycopg.Connection[Any], there: Publication, say: Say
) -> None:
    subject = f"publication {spec.publication}"
    if not (there.remark or "").startswith("tailrace connector "):
        raise ConnectorError(
            errors.PUBLICATION_TAKEN,
            f"The {subject} was not made by tailrace, so it is left: drop it yourself if it"
            " serves nobody else.",
        )
    name = sql.Identifier(spec.publication)
    text = statements("prepare.sql")["drop_publication"].format(publication=name)
    say(f"drop {subject}")
    execute(source, Change("drop", subject, sql=text.as_string(None)))


def _state(parts: list[State]) -> str:
    """The worst state of connector and tasks; a connector that should have a task has one."""
    found = [state for _, state, _ in parts]
    for worst in ("FAILED", "UNASSIGNED", "RESTARTING", "STOPPED", "PAUSED"):
        if worst in found:
            return worst
    return "RUNNING" if len(found) > 1 else "UNASSIGNED"


def task_findings(parts: list[State]) -> list[Finding]:
    """Of each part that FAILED: the cause, and the next step."""
    found = []
    for part, state, trace in parts:
        if state == "FAILED":
            code, step = hint(trace) or (errors.TASK_FAILED, "Run connector restart.")
            found.append(Finding(code, f"The {part} failed: {first_line(trace)}. {step}"))
    return found


def class_finding(spec: ConnectorSpec, connector_class: str) -> list[Finding]:
    """That it runs without the lossless class, if it does and should not."""
    if connector_class == lossless.CONNECTOR_CLASS or not spec.lossless:
        return []
    return [
        Finding(
            errors.PLUGIN_MISSING,
            f"Connector {spec.name} runs {connector_class}, which loses changes on restarts:"
            " run connector apply.",
        )
    ]


def beat_finding(spec: ConnectorSpec, age_ms: int | None) -> list[Finding]:
    """That a connector which says RUNNING gives no sign of life."""
    limit_ms = BEATS_MISSED * spec.heartbeat_interval_ms
    if age_ms is not None and age_ms <= limit_ms:
        return []
    since = "never" if age_ms is None else f"not for {age_ms / 1000:.0f} s"
    return [
        Finding(
            errors.NOT_RUNNING_YET,
            f"Connector {spec.name} says RUNNING but its heartbeat came {since}: it takes its"
            " snapshot, cannot reach the source, or retries one value for ever; see the worker's"
            " log.",
            blocks=age_ms is not None,
        )
    ]
