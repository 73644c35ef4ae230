"""`tailrace stack`: the servers alone, embedded or in containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tailrace.exits import UNHEALTHY, USAGE, Problem

if TYPE_CHECKING:
    from devstack import AnyStack, PartFailed
    from tailrace.progress import Listener

app = typer.Typer(
    help="Kafka, Connect, Postgres and Redis on loopback, for development.", no_args_is_help=True
)

Folder = Annotated[
    Path, typer.Option("--folder", "-f", help="Where its data, settings and passwords are.")
]
Profile = Literal["small", "bench"]
DEFAULT_FOLDER = Path(".tailrace")


@app.command()
def up(
    folder: Folder = DEFAULT_FOLDER,
    profile: Annotated[
        Profile | None, typer.Option(help="small (quick to start) or bench (large heaps).")
    ] = None,
    exactly_once: Annotated[
        bool | None,
        typer.Option("--exactly-once/--at-least-once", help="Connect's mode for its connectors."),
    ] = None,
    containers: Annotated[
        bool, typer.Option("--containers", help="As containers of Docker; the folder remembers it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Start what does not run yet. The first time downloads 60 MB of jars, or the images."""
    if containers and (profile or exactly_once is not None):
        why = "--profile and --exactly-once are of the embedded stack: leave out --containers."
        raise Problem("TR-STK-005", why, exit_code=USAGE)
    with _opened(folder, profile, exactly_once, containers=containers) as (stack, listener):
        endpoints = stack.up(listener)
    found = {
        "kafka": endpoints.kafka,
        "connect": endpoints.connect,
        "postgres_source": without_password(endpoints.source),
        "postgres_target": without_password(endpoints.target),
        "redis": without_password(endpoints.redis),
    }
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
    for part, where in () if as_json else found.items():
        typer.echo(f"{part.replace('_', '-'):<16} {where}")
    typer.echo(f"Passwords are in {stack.folder / 'endpoints.json'}.", err=True)


@app.command()
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop every server; data stays. The first time takes longer: it speeds up later starts."""
    with _opened(folder) as (stack, listener):
        stack.down(listener)


@app.command()
def status(
    folder: Folder = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Which servers run and answer. Ends with code 3 unless all do."""
    with _opened(folder) as (stack, _):
        parts = stack.status()
    if as_json:
        import json

        typer.echo(json.dumps([part._asdict() for part in parts]))
    for part in () if as_json else parts:
        state = "answers" if part.answers else "mute" if part.pid else "down"
        typer.echo(f"{part.part:<16} {state:<8} port {part.port}  pid {part.pid or '-'}")
    if not parts:
        typer.echo(f"No stack in {folder}: `tailrace stack up` makes one.", err=True)
    if not parts or not all(part.answers for part in parts):
        raise typer.Exit(UNHEALTHY)


@app.command()
def reset(
    folder: Folder = DEFAULT_FOLDER,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop every server and delete its data. Downloaded jars stay."""
    import sys

    if not yes and not sys.stdin.isatty():
        raise Problem("TR-STK-003", "Deleting data needs --yes here.", exit_code=USAGE)
    if not yes:
        typer.confirm(f"Delete all data of the stack in {folder}?", abort=True, err=True)
    with _opened(folder) as (stack, listener):
        stack.reset(listener)


def without_password(url: str) -> str:
    """The URL with *** where its password is."""
    from urllib.parse import urlsplit

    return url.replace(f":{urlsplit(url).password}@", ":***@")


@contextmanager
def _opened(
    folder: Path,
    profile: Profile | None = None,
    exactly_once: bool | None = None,
    *,
    containers: bool = False,
) -> Iterator[tuple[AnyStack, Listener]]:
    """The stack of the folder and who listens to it; its failures as problems to mend."""
    try:
        from devstack import PartFailed, Stack, open_stack
        from tailrace.progress import shown

        with shown() as listener, _problems_of(PartFailed):
            if profile or exactly_once is not None:
                yield Stack(folder, profile=profile, exactly_once=exactly_once), listener
            else:
                yield open_stack(folder, "containers" if containers else None), listener
    except ModuleNotFoundError as error:
        extra = "containers" if error.name in ("docker", "testcontainers") else "devstack"
        why = f"The stack needs the package {error.name}: install tailrace[{extra}]."
        raise Problem("TR-STK-001", why) from error
    except OSError as error:
        raise Problem("TR-STK-004", f"The folder {folder} cannot be used: {error}.") from error


@contextmanager
def _problems_of(part_failed: type[PartFailed]) -> Iterator[None]:
    try:
        yield
    except part_failed as failed:
        if failed.log_tail:
            typer.echo(failed.log_tail, err=True)
        raise Problem("TR-STK-002", f"{failed.part} {failed.why}") from failed
