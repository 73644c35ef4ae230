"""`tailrace demo`: see it work on this machine, through a kill and a restart, with the proof."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    seconds: Annotated[
        float, typer.Option("--for", min=5, max=3600, help="Seconds under load.")
    ] = 60.0,
    folder: Annotated[Path, typer.Option(help="Where servers and logs are.")] = Path(
        ".tailrace/demo"
    ),
) -> None:
    """
    Real servers, a shop under load, two workers. One is killed, the connector is restarted, and
    at the end every row of source and target is compared. Ends with 0 only if they are equal.
    """
    from devstack.part import PartFailed
    from tailrace import progress
    from tailrace.demo import Demo, figures
    from tailrace.demo_view import opened
    from tailrace.exits import FAILED, INTERRUPTED, Problem

    folder.mkdir(parents=True, exist_ok=True)
    with progress.shown() as say:
        run = Demo(folder, seconds, say)
        try:
            run.prepare()
        except (KeyboardInterrupt, PartFailed, Problem) as error:
            run.close()
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            if isinstance(error, PartFailed):
                raise Problem("TR-DEM-003", str(error)) from error
            raise
    try:
        with opened() as view:
            for sample in run.run():
                view(sample, run.story)
    except KeyboardInterrupt:
        typer.echo("Interrupted: cleaning up.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        with progress.shown() as say:
            run.close(say)
    found = figures(run.story)
    for name, figure in found.items():
        typer.echo(f"{name:<20} {figure}")
    for result in run.story.results:
        if not result.equal:
            typer.echo(f"{result.table}: {result.differing} rows differ {result.problem}", err=True)
    if not run.story.is_proved():
        raise typer.Exit(FAILED)
