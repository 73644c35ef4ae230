"""`tailrace connector`: the source connector, planned first, then applied and operated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands.confirm import confirm
from tailrace.exits import PLAN_NOT_EMPTY, UNHEALTHY

if TYPE_CHECKING:
    from connectors.errors import Finding
    from connectors.lifecycle import At
    from connectors.operate import Status
    from connectors.plan import Change, Plan
    from connectors.spec import ConnectorSpec
    from tailrace.config import Pipeline

app = typer.Typer(
    help="The source connector: what it needs, a plan, then exactly that.", no_args_is_help=True
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The pipeline file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
NoSnapshotOption = Annotated[
    bool,
    typer.Option("--no-snapshot", help="Leave out what is in the tables already; changes only."),
]
ReasonOption = Annotated[str, typer.Option(help="For the log of actions: why.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DEFAULT_FILE = Path("pipeline.yaml")


@app.command()
def plan(
    config: ConfigOption = DEFAULT_FILE,
    no_snapshot: NoSnapshotOption = False,
    as_json: JsonOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="4 when something is to do.")
    ] = False,
) -> None:
    """Show what the source and Connect still need; changes nothing."""
    from connectors.register import make_plan

    with _opened(config, no_snapshot) as (spec, at):
        found = make_plan(spec, at)
    if as_json:
        _echo_json({"changes": found.changes, "findings": found.findings})
    else:
        _show_plan(found)
    if found.blocked:
        raise typer.Exit(1)
    if exit_code and found:
        raise typer.Exit(PLAN_NOT_EMPTY)


@app.command()
def apply(
    config: ConfigOption = DEFAULT_FILE,
    no_snapshot: NoSnapshotOption = False,
    yes: YesOption = False,
) -> None:
    """Make it so, and wait until the connector and every task run."""
    from connectors import register
    from tailrace import events_topic

    with _opened(config, no_snapshot) as (spec, at):
        found = register.make_plan(spec, at)
        _show_findings(found.findings)
        drops = [change for change in found.changes if change.action == "drop"]
        if drops and not found.blocked:
            confirm("; ".join(f"drop {change.subject}" for change in drops), yes, "TR-CON-010")
        register.apply(spec, at, found, _say)
        events_topic.make(_loaded(config)[0], spec)
    typer.echo(f"Connector {spec.name} runs: {len(found.changes) or 'no'} changes.", err=True)


@app.command()
def status(config: ConfigOption = DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Tasks, slot, position and settings as they are. Ends with code 3 unless all is well."""
    from connectors import operate

    with _opened(config) as (spec, at):
        found = operate.status(spec, at)
    if as_json:
        _echo_json({"healthy": found.healthy, **_plain(found)})
    else:
        _show_status(found)
    if not found.healthy:
        raise typer.Exit(UNHEALTHY)


@app.command()
def pause(config: ConfigOption = DEFAULT_FILE, reason: ReasonOption = "") -> None:
    """Send nothing until resumed. The source keeps its log meanwhile, which takes disk."""
    from tailrace import operations
    from tailrace.actions import os_actor

    pipeline, spec = _loaded(config)
    operations.pause(pipeline, spec, os_actor(), reason)
    typer.echo(f"Connector {spec.name} is paused; its slot keeps the source's log.", err=True)


@app.command()
def resume(config: ConfigOption = DEFAULT_FILE, reason: ReasonOption = "") -> None:
    """Go on after a pause or a stop, unless the source has lost what is needed."""
    from tailrace import operations
    from tailrace.actions import os_actor

    operations.resume(*_loaded(config), os_actor(), reason, _say)


@app.command()
def restart(config: ConfigOption = DEFAULT_FILE, reason: ReasonOption = "") -> None:
    """Stop and start without losing a change, also where Connect lacks the lossless plugin."""
    from tailrace import operations
    from tailrace.actions import os_actor

    operations.restart(*_loaded(config), os_actor(), reason, _say)


@app.command()
def delete(
    config: ConfigOption = DEFAULT_FILE,
    drop_slot: Annotated[
        bool, typer.Option("--drop-slot", help="Its slot too: undelivered changes are gone.")
    ] = False,
    drop_publication: Annotated[
        bool, typer.Option("--drop-publication", help="Its publication too.")
    ] = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> None:
    """Remove the connector. Slot and publication stay unless named."""
    from tailrace import operations
    from tailrace.actions import os_actor

    pipeline, spec = _loaded(config)
    what = [f"connector {spec.name}"]
    what += [f"slot {spec.slot} and the position reached"] if drop_slot else []
    what += [f"publication {spec.publication}"] if drop_publication else []
    confirm(f"delete {', '.join(what)}", yes, "TR-CON-010")
    drops = {"drop_slot": drop_slot, "drop_publication": drop_publication}
    operations.delete(pipeline, spec, os_actor(), reason, **drops, say=_say)
    if not drop_slot:
        kept = f"Slot {spec.slot} is kept, and with it the source's log: use it or drop it."
        typer.echo(kept, err=True)


@contextmanager
def _opened(config: Path, no_snapshot: bool = False) -> Iterator[tuple[ConnectorSpec, At]]:
    """The file's connector, and where it is; ConnectorError becomes a problem to mend."""
    import dataclasses

    from tailrace.operations import opened

    pipeline, spec = _loaded(config)
    if no_snapshot:
        spec = dataclasses.replace(spec, snapshot="no_data")
    with opened(pipeline, spec) as at:
        yield spec, at


def _loaded(config: Path) -> tuple[Pipeline, ConnectorSpec]:
    from tailrace.config import load
    from tailrace.source import spec_of

    pipeline = load(config)
    return pipeline, spec_of(pipeline)


def _say(what: str) -> None:
    typer.echo(what, err=True)


def _show_plan(found: Plan) -> None:
    for change in found.changes:
        typer.echo(f"-- {change.action} {change.subject}{_because(change)}")
        if change.sql:
            typer.echo(f"{change.sql};")
    if not found:
        typer.echo("-- nothing to do")
    _show_findings(found.findings)


def _because(change: Change) -> str:
    if change.before is not None or change.after is not None:
        return f": {change.before or '(not set)'} -> {change.after or '(not set)'}"
    return f": {change.why}" if change.why else ""


def _show_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        kind = "refused" if finding.blocks else "note"
        typer.echo(f"{kind}: {finding.sentence} [{finding.code}]", err=True)


def _show_status(found: Status) -> None:
    from connectors.position import lsn

    typer.echo(f"{found.name}: {found.state}{'' if found.lossless else ', not lossless'}")
    for part in found.parts:
        typer.echo(f"  {part.part:<12} {part.state:<10} {part.error}".rstrip())
    if found.slot is not None:
        reader = found.slot.reader or "nobody"
        retained = (found.slot.retained_bytes or 0) / (1 << 20)
        typer.echo(f"  slot         {found.slot.wal_status or '-':<10} read by {reader}")
        typer.echo(f"  log kept     {retained:.1f} MiB")
    if found.position is not None:
        typer.echo(f"  position     {lsn(found.position)}")
    if found.beat_age_ms is not None:
        typer.echo(f"  heartbeat    {found.beat_age_ms / 1000:.1f} s ago")
    for change in found.drift:
        typer.echo(f"  differs      {change.subject}{_because(change)}")
    _show_findings(found.findings)


def _plain(value: Any) -> Any:
    import dataclasses

    return dataclasses.asdict(value)


def _echo_json(value: Any) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(value).decode())
