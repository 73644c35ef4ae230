"""How a bench begins and ends: alone, on servers of its own, with its figures in a file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import typer

from bench.lab import BenchFailed
from bench.machine import describe
from connectors.errors import ConnectorError
from devstack import PartFailed, Stack
from devstack.process import locked
from tailrace.progress import Listener, shown

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".tailrace" / "bench"
RESULTS = ROOT / "bench" / "results"


@contextmanager
def alone(folder: Path = FOLDER) -> Iterator[Listener]:
    """No other bench runs meanwhile. What goes wrong ends it with a sentence."""
    with shown() as tell:
        waiting = "another bench runs here; waiting for it"
        with locked(FOLDER.with_name("bench.lock"), lambda: tell("bench", waiting)):
            try:
                yield tell
            except (BenchFailed, PartFailed, ConnectorError, psycopg.Error) as error:
                typer.echo(f"{error}\nThe logs are in {folder}.", err=True)
                raise typer.Exit(1) from error


@contextmanager
def own_stack(tell: Listener) -> Iterator[Stack]:
    """New servers, which are stopped at the end; their logs stay where something went wrong."""
    stack = Stack(FOLDER, profile="bench")
    stack.reset(tell)
    try:
        yield stack
    finally:
        stack.down(tell)
    stack.reset(tell)


def keep(name: str, figures: dict[str, Any]) -> None:
    """As the newest results of a bench, with what the machine is."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"latest.{name}.json"
    file.write_text(json.dumps({"machine": describe(), **figures}, indent=2) + "\n")
    typer.echo(f"In full: {file}", err=True)
