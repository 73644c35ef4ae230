"""
What operators do to a connector, each act logged: for the commands and for the dashboard alike.

Every function raises Problem: TR-ACT-001 before anything was done, or that of the act itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connectors import operate
from connectors.errors import ConnectorError
from connectors.lifecycle import At, Say, silent, states
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from tailrace.actions import Actor, log_of
from tailrace.config import Pipeline
from tailrace.databases import connect as open_database
from tailrace.exits import FAILED, TRY_AGAIN, Problem

_TRY_AGAIN_CODES = frozenset({"TR-CON-001", "TR-CON-007", "TR-SRC-001", "TR-SRC-016"})


@contextmanager
def opened(pipeline: Pipeline, spec: ConnectorSpec) -> Iterator[At]:
    """Connect and the source; a ConnectorError in the block becomes a Problem."""
    try:
        with (
            Connect(spec.connect_url) as connect,
            open_database(pipeline.source.dsn, "source") as source,
        ):
            source.autocommit = True
            yield At(connect, source)
    except ConnectorError as error:
        code = TRY_AGAIN if error.code in _TRY_AGAIN_CODES else FAILED
        raise Problem(error.code, error.sentence, exit_code=code) from error


def pause(pipeline: Pipeline, spec: ConnectorSpec, actor: Actor, reason: str = "") -> None:
    """As `operate.pause`."""
    with _act(pipeline, spec, actor, "pause", reason) as at:
        operate.pause(spec, at)


def resume(
    pipeline: Pipeline, spec: ConnectorSpec, actor: Actor, reason: str = "", say: Say = silent
) -> None:
    """As `operate.resume`."""
    with _act(pipeline, spec, actor, "resume", reason) as at:
        operate.resume(spec, at, say)


def restart(
    pipeline: Pipeline, spec: ConnectorSpec, actor: Actor, reason: str = "", say: Say = silent
) -> None:
    """As `operate.restart`."""
    with _act(pipeline, spec, actor, "restart", reason) as at:
        operate.restart(spec, at, say)


def restart_failed_tasks(
    pipeline: Pipeline, spec: ConnectorSpec, actor: Actor, reason: str = "", say: Say = silent
) -> bool:
    """
    Restart the connector if it or a task has failed; whether that was so, and nothing is done
    otherwise.

    By a stop and a start, not by Connect's own restart of failed tasks: only a stop mends the
    stored offset where the lossless class is not there, and only `start` looks for a gap first. A
    Postgres connector has one task, so nothing that still works is held up.
    """
    with opened(pipeline, spec) as at:
        failed = [part for part, state, _ in states(at.connect, spec.name) if state == "FAILED"]
    if failed:
        detail = {"failed": failed}
        with _act(pipeline, spec, actor, "restart failed tasks", reason, detail) as at:
            operate.restart(spec, at, say)
    return bool(failed)


def delete(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    actor: Actor,
    reason: str = "",
    *,
    drop_slot: bool = False,
    drop_publication: bool = False,
    say: Say = silent,
) -> None:
    """As `operate.delete`."""
    detail = {"drop_slot": drop_slot, "drop_publication": drop_publication}
    with _act(pipeline, spec, actor, "delete", reason, detail) as at:
        operate.delete(spec, at, drop_slot=drop_slot, drop_publication=drop_publication, say=say)


@contextmanager
def _act(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    actor: Actor,
    action: str,
    reason: str,
    detail: dict[str, Any] | None = None,
) -> Iterator[At]:
    log = log_of(pipeline, spec)
    with (
        log.logged(actor, action, f"connector {spec.name}", reason, detail),
        opened(pipeline, spec) as at,
    ):
        yield at
