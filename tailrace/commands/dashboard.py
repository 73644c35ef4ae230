"""`tailrace dashboard`: the page that tells what is late, by how much, where, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailrace.commands.several import DEFAULT_FILES, ConfigsOption, watched


def dashboard(
    config: ConfigsOption = DEFAULT_FILES,
    history: Annotated[
        Path | None,
        typer.Option(help="Where the charts' past is kept; else in the user's state folder."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Nobody may act.")] = False,
) -> None:
    """
    Serve the lag dashboard for one or more pipelines until stopped.

    Address and tokens are in the section `dashboard` of the first file. On loopback everybody may
    look; to act one logs in. On another address both tokens must be set.
    """
    from tailrace.dashboard.serve import serve

    found = watched(config)
    kept = history or _state_folder() / f"{found[0].pipeline.name}.history.sqlite"
    serve(found, kept, read_only=read_only, say=lambda line: typer.echo(line, err=True))


def _state_folder() -> Path:
    import os

    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tailrace"
