"""Starting, stopping and waiting, so that a connector never starts past a gap unnoticed."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from connectors import errors, lossless
from connectors.catalogue import Slot, read_slot, wal_position
from connectors.errors import ConnectorError, Finding, refuse_blocked
from connectors.hints import first_line, hint
from connectors.position import FORGOTTEN, at_last_commit, gap, resumes_at
from connectors.rest import Connect
from connectors.spec import ConnectorSpec

Say = Callable[[str], None]

WITHIN_S = 60.0
"""How long a connector may take for a change of state."""


class At(NamedTuple):
    """Where to work: Connect, and the source over a connection in autocommit mode."""

    connect: Connect
    source: psycopg.Connection[Any]


class State(NamedTuple):
    """The connector itself or one task: Connect's state, and the stack trace of a failure."""

    part: str
    state: str
    trace: str


def silent(_: str) -> None:
    """Say nothing."""


def states(connect: Connect, name: str) -> list[State]:
    """The connector, then its tasks; empty before Connect knows them."""
    try:
        status = connect.status(name)
    except ConnectorError as error:
        if error.code == errors.CONNECTOR_UNKNOWN:
            return []
        raise
    parts = [("connector", status["connector"])]
    parts += [(f"task {task['id']}", task) for task in status["tasks"]]
    return [State(part, found["state"], found.get("trace", "")) for part, found in parts]


def gaps(spec: ConnectorSpec, at: At, slot: Slot | None) -> list[Finding]:
    """What the source no longer has of what the connector needs; `slot` was read before."""
    offsets = at.connect.offsets(spec.name)
    wal = wal_position(at.source)
    found = [gap(spec.slot, slot, offset, wal) for _, offset in offsets if offset]
    return [finding for finding in found if finding is not None]


def start(spec: ConnectorSpec, at: At, say: Say = silent) -> None:
    """
    Start a stopped, paused or new connector; wait until every task runs and reads the slot, or
    takes its snapshot.

    Raises ConnectorError: TR-SRC-013 or -017 instead of starting past a gap; else as
    `wait_running`.
    """
    refuse_blocked(gaps(spec, at, read_slot(at.source, spec.slot)))
    at.connect.resume(spec.name)
    wait_running(at.connect, spec.name, say)

    def reads_or_copies() -> bool:
        refuse_failed(spec.name, states(at.connect, spec.name))
        slot = read_slot(at.source, spec.slot)
        return (slot is not None and slot.active_pid is not None) or _copies(spec, at.connect)

    late = f"Connector {spec.name} runs but does not read slot {spec.slot}: see the worker's log."
    wait_until(reads_or_copies, late, errors.NOT_RUNNING_YET)


def _copies(spec: ConnectorSpec, connect: Connect) -> bool:
    """Whether it may be in its first snapshot, during which the slot is not read."""
    stored = [offset for _, offset in connect.offsets(spec.name) if offset]
    return spec.snapshot == "initial" and all(resumes_at(offset) is None for offset in stored)


def stop(spec: ConnectorSpec, at: At, say: Say = silent) -> None:
    """
    Stop a connector so that its next start loses nothing.

    One without the lossless class gets its stored offset moved to the last commit, which is what
    that class does by itself at every start; crashes stay unprotected.
    """
    running = at.connect.config(spec.name)
    at.connect.stop(spec.name)
    await_state(at.connect, spec.name, "STOPPED")
    if running is not None and running.get("connector.class") != lossless.CONNECTOR_CLASS:
        say("moving the stored offset to the last commit")
        stored = at.connect.offsets(spec.name)
        moved = [(partition, at_last_commit(offset)) for partition, offset in stored if offset]
        at.connect.patch_offsets(spec.name, moved)


def forget_position(spec: ConnectorSpec, at: At) -> None:
    """Make a stopped connector begin anew at its next start."""
    stored = at.connect.offsets(spec.name)
    begin = [(partition, dict(FORGOTTEN)) for partition, offset in stored if offset]
    at.connect.patch_offsets(spec.name, begin)


def wait_running(connect: Connect, name: str, say: Say = silent) -> None:
    """
    Wait until the connector and every task are RUNNING.

    Raises ConnectorError: TR-CON-004 (or a code of the source) when one failed, TR-CON-005 when
    it is paused or stopped, or takes too long.
    """
    deadline = time.monotonic() + WITHIN_S
    shown = ""
    while True:
        found = states(connect, name)
        refuse_failed(name, found)
        now = ", ".join(f"{part} {state}" for part, state, _ in found)
        if now != shown:
            say(now)
            shown = now
        if len(found) > 1 and all(state == "RUNNING" for _, state, _ in found):
            return
        if time.monotonic() > deadline:
            raise ConnectorError(
                errors.NOT_RUNNING_YET,
                f"Connector {name} does not run after {WITHIN_S:.0f} s ({now or 'no state'}):"
                " look at the Connect worker's log; if it was paused, run connector resume.",
            )
        time.sleep(0.1)


def await_state(connect: Connect, name: str, wanted: str) -> None:
    """Wait for PAUSED of connector and tasks, or for STOPPED, which means that no task is left."""

    def reached() -> bool:
        found = [state for _, state, _ in states(connect, name)]
        if wanted == "STOPPED":
            return found == ["STOPPED"]
        return len(found) > 1 and set(found) == {wanted}

    late = f"Connector {name} is not {wanted} after {WITHIN_S:.0f} s: see the worker's log."
    wait_until(reached, late, errors.NOT_RUNNING_YET)


def wait_until(reached: Callable[[], bool], late: str, code: str) -> None:
    """Ask ten times a second; raises ConnectorError(code, late) after a minute."""
    deadline = time.monotonic() + WITHIN_S
    while not reached():
        if time.monotonic() > deadline:
            raise ConnectorError(code, late)
        time.sleep(0.1)


def refuse_failed(name: str, found: list[State]) -> None:
    """Raise ConnectorError for the first part that FAILED, with its cause and the next step."""
    for part, state, trace in found:
        if state == "FAILED":
            line = first_line(trace)
            code, step = hint(trace) or (
                errors.TASK_FAILED,
                "See the Connect worker's log for the rest, then run connector restart.",
            )
            raise ConnectorError(code, f"The {part} of {name} failed: {line}. {step}")
