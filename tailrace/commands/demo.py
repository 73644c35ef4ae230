"""`tailrace demo`: see it work on this machine, through a kill and a restart, with the proof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tailrace.demo import Demo


def demo(
    seconds: Annotated[
        float, typer.Option("--for", min=5, max=3600, help="Seconds under load.")
    ] = 60.0,
    folder: Annotated[Path, typer.Option(help="Where servers and logs are.")] = Path(
        ".tailrace/demo"
    ),
    json: Annotated[bool, typer.Option("--json", help="What it came to, as JSON.")] = False,
) -> None:
    """
    Real servers, a shop under load, two workers. One is killed, the connector is restarted, and
    at the end every row of source and target is compared. Ends with 0 only if they are equal.
    """
    import signal

    from tailrace.demo import Demo, figures
    from tailrace.demo_view import opened
    from tailrace.exits import FAILED, INTERRUPTED
    from tailrace.progress import shown

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it too must leave no server
    folder.mkdir(parents=True, exist_ok=True)
    with shown() as say:
        run = Demo(folder, seconds, say)
        try:
            _prepare(run)
        except BaseException:  # whatever ends it, servers must not be left
            run.close()
            raise
    _open(run.dashboard)
    try:
        with opened() as view:
            for sample in run.run():
                view(sample, run.story)
    except KeyboardInterrupt:
        typer.echo("Interrupted: cleaning up.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        with shown() as say:
            run.close(say)
    _show(figures(run.story), json)
    for result in run.story.results:
        if not result.equal:
            typer.echo(f"{result.table}: {result.differing} rows differ {result.problem}", err=True)
    if not run.story.is_proved():
        raise typer.Exit(FAILED)


def _open(url: str) -> None:
    """In a browser where somebody sits before one."""
    import os
    import sys
    import webbrowser

    typer.echo(f"The dashboard is at {url}", err=True)
    has_screen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if sys.stderr.isatty() and has_screen:
        webbrowser.open(url)


def _show(found: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    for name, figure in () if as_json else found.items():
        typer.echo(f"{name:<20} {figure}")


def _prepare(run: "Demo") -> None:
    from devstack.part import PartFailed
    from tailrace.exits import INTERRUPTED, Problem

    try:
        run.prepare()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except PartFailed as error:
        raise Problem("TR-DEM-003", str(error)) from error
