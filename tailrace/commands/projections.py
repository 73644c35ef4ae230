"""`tailrace projections`: read models of an event store, version beside version."""

from typing import Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

app = typer.Typer(help="Read models of an event store: build, compare, switch, drop.")

SinkArgument = Annotated[str, typer.Argument(help="The sink of type projection.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
ReasonOption = Annotated[str, typer.Option(help="Goes into the log of actions.")]


@app.command("list")
def list_(config: ConfigOption = DEFAULT_FILE, json: JsonOption = False) -> None:
    """The versions that there are, and which one readers see."""
    from tailrace import read_models
    from tailrace.config import load

    found = read_models.listed(load(config))
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
    for one in () if json else found:
        version = f"{one.projection} v{one.version}" if one.projection else "?"
        state = f"{one.state}, and what readers see" if one.is_live else one.state or one.trouble
        typer.echo(f"{one.sink:<24} {version:<32} {state}")


@app.command()
def build(
    sink: SinkArgument,
    config: ConfigOption = DEFAULT_FILE,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only of events from then on, like 2026-01-31T12:00; UTC."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only of events before then; it does not follow the log."
        ),
    ] = None,
) -> None:
    """Fill a version from the event store, beside the one that readers see."""
    from tailrace import read_models
    from tailrace.commands.events_store import moment
    from tailrace.config import load
    from tailrace.exits import USAGE, Problem
    from tailrace.progress import shown

    first = moment(since, "--since") if since is not None else None
    last = moment(until, "--until") if until is not None else None
    if first and last and first >= last:
        raise Problem("TR-EVT-022", "--since must be before --until.", exit_code=USAGE)
    with shown() as tell:

        def progress(done: int, of: int) -> None:
            tell(sink, f"{done:,} of {of:,} events" if of else "there are no events yet")

        projection, count = read_models.build(load(config), sink, progress, first, last)
    typer.echo(f"{projection.schema}: built of {count:,} events", err=True)


@app.command()
def compare(
    sink: SinkArgument, config: ConfigOption = DEFAULT_FILE, json: JsonOption = False
) -> None:
    """Hold a version against the one that readers see, row by row; 1 when they differ."""
    from tailrace import read_models
    from tailrace.config import load
    from tailrace.exits import FAILED

    found = read_models.compared(load(config), sink)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
    for one in () if json else found:
        typer.echo(str(one))
    if not all(one.is_none for one in found):
        raise typer.Exit(FAILED)


@app.command()
def switch(
    sink: SinkArgument,
    config: ConfigOption = DEFAULT_FILE,
    differing: Annotated[
        bool, typer.Option("--differing", help="Without comparing: its rows are meant to differ.")
    ] = False,
    reason: ReasonOption = "",
) -> None:
    """Let readers see this version: all of its tables in one transaction."""
    from tailrace import read_models
    from tailrace.actions import os_actor
    from tailrace.config import load

    pipeline = load(config)
    schema = read_models.switch(pipeline, sink, os_actor(), reason, even_if_differing=differing)
    typer.echo(f"Readers see {schema} now.", err=True)


@app.command()
def drop(
    sink: SinkArgument, config: ConfigOption = DEFAULT_FILE, reason: ReasonOption = ""
) -> None:
    """Drop a version that readers do not see. Stop its workers first."""
    from tailrace import read_models
    from tailrace.actions import os_actor
    from tailrace.config import load

    gone = read_models.drop(load(config), sink, os_actor(), reason)
    typer.echo(f"{gone} is gone." if gone else "There was nothing to drop.", err=True)
