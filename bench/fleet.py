"""
What it costs to watch 200 pipelines of 10 partitions each: `python -m bench.fleet`.

On real servers that all of them share; nothing but the workers is pretended. Takes about five
minutes. `--keep` leaves the servers and pipeline files for others to look at, until a key.
"""

import json
import subprocess
import sys
from typing import Annotated, Any

import typer

from bench.alone import FOLDER, alone, keep, own_stack
from bench.fleet_page import measured as page_measured
from bench.fleet_servers import PARTITIONS, Fleet
from bench.lab import BenchFailed, Lab
from tailrace.progress import Listener

GOALS = {"sampler_core_share": 0.05, "first_paint_ms": 1000, "update_cpu_ms": 100}


def main(
    pipelines: Annotated[int, typer.Option(min=1, help="How many.")] = 200,
    seconds: Annotated[float, typer.Option(min=1, help="How long each part is watched.")] = 60.0,
    keep_them: Annotated[
        bool, typer.Option("--keep", help="Measure nothing; wait for Enter.")
    ] = False,
) -> None:
    """Measure on a stack that is made for it and gone afterwards."""
    with alone() as tell, own_stack(tell) as stack:
        fleet = Fleet(Lab(stack, stack.up(tell), tell, "fleet"), pipelines, FOLDER / "pipelines")
        try:
            fleet.make()
            if keep_them:
                input(f"The pipelines are in {fleet.folder}. Enter ends this. ")
                return
            figures = _figures(fleet, seconds, tell)
        finally:
            fleet.close()
    _show(figures)
    keep("fleet", figures)


def _figures(fleet: Fleet, seconds: float, tell: Listener) -> dict[str, Any]:
    tell("sampler", f"is watched for {seconds:.0f} s")
    words = [sys.executable, "-m", "bench.fleet_look", str(fleet.folder), str(seconds)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BenchFailed(f"the sampler ended with {done.returncode}")
    tell("dashboard", f"is visited, and watched for twice {seconds:.0f} s")
    history = FOLDER / "fleet.sqlite"
    history.unlink(missing_ok=True)
    return {
        "size": {
            "pipelines": fleet.count,
            "partitions": fleet.count * PARTITIONS,
            "slots": fleet.slots,
            "records_moved": fleet.moved,
        },
        "sampler": json.loads(done.stdout),
        "dashboard": page_measured(fleet.folder, history, fleet.count, seconds),
        "goals": GOALS,
    }


def _show(figures: dict[str, Any]) -> None:
    size, sampler, page = figures["size"], figures["sampler"], figures["dashboard"]
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in sampler["by_part_ms"].items())
    typer.echo(
        f"{size['pipelines']} pipelines, {size['partitions']:,} partitions, {size['slots']} slots\n"
        f"sampler    {sampler['core_share']:.1%} of a core, a look every"
        f" {sampler['interval_s']:.1f} s, {sampler['cpu_per_look_ms']:.0f} ms of CPU each\n"
        f"           ms by part: {parts}\n"
        f"dashboard  first paint {page['first_paint_ms']} ms, all rows {page['all_rows_ms']} ms;"
        f" an empty page {page['first_paint_of_login_ms']} ms\n"
        f"           an update: {page['update_cpu_ms']:.0f} ms of CPU, by what six viewers cost,"
        f" {sampler['render_ms']:.0f} ms of them to render"
    )


if __name__ == "__main__":
    typer.run(main)
