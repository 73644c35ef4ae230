"""The pipelines that a command looks at: files, and folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tailrace.watch.servers import Watched

ConfigsOption = Annotated[
    list[Path],
    typer.Option("--config", "-c", help="A pipeline file, or a folder of them; several times."),
]
DEFAULT_FILES = [Path("pipeline.yaml")]


def watched(config: list[Path]) -> list[Watched]:
    """Raises Problem (TR-DSH-003) for a folder without any, and what `config.load` raises."""
    from tailrace.config import load
    from tailrace.source import spec_of
    from tailrace.watch.servers import Watched

    pipelines = [load(file) for file in _files(config)]
    return [Watched(pipeline, spec_of(pipeline)) for pipeline in pipelines]


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
