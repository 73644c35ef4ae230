"""`tailrace dashboard`: the page that tells what is late, by how much, where, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigsOption = Annotated[
    list[Path],
    typer.Option("--config", "-c", help="A pipeline file, or a folder of them; several times."),
]
DEFAULT = [Path("pipeline.yaml")]


def dashboard(
    config: ConfigsOption = DEFAULT,
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
    from tailrace.config import load
    from tailrace.dashboard.serve import serve
    from tailrace.source import spec_of
    from tailrace.watch.servers import Watched

    pipelines = [load(file) for file in _files(config)]
    watched = [Watched(pipeline, spec_of(pipeline)) for pipeline in pipelines]
    kept = history or _state_folder() / f"{pipelines[0].name}.history.sqlite"
    serve(watched, kept, read_only=read_only, say=lambda line: typer.echo(line, err=True))


def _files(config: list[Path]) -> list[Path]:
    from tailrace.exits import USAGE, Problem

    found: list[Path] = []
    for path in config:
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not files:
            raise Problem(
                "TR-DSH-003",
                f"The folder {path} has no pipeline file: put NAME.yaml there, or name one.",
                exit_code=USAGE,
            )
        found += files
    return found


def _state_folder() -> Path:
    import os

    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tailrace"
