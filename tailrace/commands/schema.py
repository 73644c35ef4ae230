"""`tailrace schema`: target tables from the source's catalogue."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Target tables from the source's catalogue: a plan, then exactly that.")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The pipeline file.")]
SinkOption = Annotated[str | None, typer.Option(help="Only this sink; all of them otherwise.")]
DEFAULT_FILE = Path("pipeline.yaml")


@app.command()
def plan(
    config: ConfigOption = DEFAULT_FILE,
    sink: SinkOption = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="4 when something is to do.")
    ] = False,
) -> None:
    """Show the statements that the targets need; changes nothing."""
    from tailrace.exits import PLAN_NOT_EMPTY

    changes = _each(config, sink, apply=False)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(changes).decode())
    else:
        for name, found in changes.items():
            typer.echo(f"-- sink {name}: {'nothing to do' if not found else ''}".rstrip(": "))
            for change in found:
                typer.echo(f"-- {change.subject}\n{change.sql};")
    if exit_code and any(changes.values()):
        raise typer.Exit(PLAN_NOT_EMPTY)


@app.command()
def apply(config: ConfigOption = DEFAULT_FILE, sink: SinkOption = None) -> None:
    """Make what the targets lack, each target in one transaction."""
    for name, found in _each(config, sink, apply=True).items():
        typer.echo(f"sink {name}: {len(found)} change(s) applied", err=True)


def _each(config: Path, sink: str | None, *, apply: bool) -> dict[str, Any]:
    from tailrace import schema
    from tailrace.config import chosen, load
    from tailrace.databases import connect

    pipeline = load(config)
    done = {}
    for name, settings in chosen(pipeline, sink).items():
        with (
            connect(pipeline.source.dsn, "source database") as source,
            connect(settings.dsn, f"database of sink {name}") as destination,
        ):
            done[name] = schema.plan_of(source, destination, settings)
            if apply:
                schema.apply(destination, done[name])
    return done
