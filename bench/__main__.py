"""`make bench`: throughput, latency and memory beside the peers, on a stack of its own."""

import json
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from bench import report, summary
from bench.lab import BenchFailed, Lab
from bench.machine import describe
from bench.rounds import MEASURES, Size, measure
from connectors.errors import ConnectorError
from devstack import PartFailed, Stack
from devstack.process import locked
from tailrace.progress import Listener, shown

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".tailrace" / "bench"
RESULTS = ROOT / "bench" / "results"


def main(
    only: Annotated[
        str, typer.Option(help=f"What to measure, commas between: {', '.join(MEASURES)}.")
    ] = ",".join(MEASURES),
    events: Annotated[int, typer.Option(min=1, help="Events of a drain.")] = Size.events,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are shown.")] = Size.rounds,
) -> None:
    """Measure on a stack that is made for it and gone afterwards. Takes about fifteen minutes."""
    wanted = [name.strip() for name in only.split(",")]
    if unknown := set(wanted) - set(MEASURES):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(MEASURES)}.")
    with shown() as tell:
        waiting = "another bench runs here; waiting for it"
        with locked(FOLDER.with_name("bench.lock"), lambda: tell("bench", waiting)):
            try:
                _run(wanted, Size(events, rounds), tell)
            except (BenchFailed, PartFailed, ConnectorError, psycopg.Error) as error:
                typer.echo(f"{error}\nThe logs are in {FOLDER}.", err=True)
                raise typer.Exit(1) from error


def _run(wanted: list[str], size: Size, tell: Listener) -> None:
    plugins = ["debezium-jdbc"] if "peer" in wanted else []
    stack = Stack(FOLDER, profile="bench", plugins=plugins)
    stack.reset(tell)
    try:
        found = measure(Lab(stack, stack.up(tell), tell), size, wanted)
    finally:
        stack.down(tell)
    stack.reset(tell)
    figures, load = summary.figures(found), summary.load(found)
    results = {
        "machine": describe() | {"load": load},
        "size": {"events": size.events, "rounds": size.rounds},
        **figures,
        "runs": summary.all_runs(found),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(results, indent=2) + "\n")
    report.plot(figures, RESULTS / "latest.png")
    report.show(figures, load)
    typer.echo(f"In full: {RESULTS / 'latest.json'}, {RESULTS / 'latest.png'}", err=True)


if __name__ == "__main__":
    typer.run(main)
