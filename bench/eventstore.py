"""
What an append and a load cost, beside the library `eventsourcing`: `python -m bench.eventstore`.

In one run, on one Postgres that is made for it, the rivals taking turns. About four minutes.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from bench.alone import alone, keep
from bench.eventstore_writers import KINDS, per_second, prepare
from devstack.postgres import Postgres
from devstack.process import free_ports
from devstack.profile import PROFILES
from eventstore.aggregate import folded, load_state, save_snapshot
from eventstore.store import NEW, append
from examples.bank.account import account
from examples.bank.events import Deposited, Opened, contracts
from tailrace.progress import Listener

FOLDER = Path(__file__).parents[1] / ".tailrace" / "bench-eventstore"
WRITERS = (1, 8)
LONG = 100_000
PEER = "eventsourcing"
GOALS = {"append_8_vs_eventsourcing": 3.0, "load_with_snapshot": 50.0}

Figures = dict[str, Any]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are shown.")] = 8,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each measurement.")] = 2.0,
) -> None:
    """Measure on a Postgres that is made for it and gone afterwards."""
    with alone(FOLDER) as tell:
        figures = _measure(rounds, seconds, tell)
    _show(figures)
    keep("eventstore", figures)


def _measure(rounds: int, seconds: float, tell: Listener) -> Figures:
    with _postgres(tell) as dsn:
        prepare(dsn)
        loads = [os.getloadavg()[0]]
        found: dict[str, list[float]] = {}
        for number in range(rounds):
            for kind in _turn(list(KINDS), number):
                for writers in WRITERS:
                    tell("append", f"round {number + 1} of {rounds}: {kind}, {writers} writer(s)")
                    _checkpoint(dsn)
                    rate = per_second(kind, dsn, writers, seconds)
                    found.setdefault(f"{kind}/{writers}", []).append(rate)
            loads.append(os.getloadavg()[0])
        return {
            "size": {"rounds": rounds, "seconds": seconds, "events_of_the_stream": LONG},
            "load": {"before": loads[0], "highest": max(loads)},
            "append": _appends(found),
            "load_of_a_stream": _loads(dsn, rounds, tell),
            "goals": GOALS,
            "runs": found,
        }


def _turn(kinds: list[str], number: int) -> list[str]:
    """Everybody is first once: who comes later finds a fuller disk."""
    first = number % len(kinds)
    return kinds[first:] + kinds[:first]


def _appends(found: dict[str, list[float]]) -> Figures:
    """Medians, and ours against the others by round: a slow round is slow for all."""
    figures: Figures = {}
    for writers in WRITERS:
        ours = found[f"tailrace/{writers}"]
        for kind in KINDS:
            rates = found[f"{kind}/{writers}"]
            ratios = [mine / rate for mine, rate in zip(ours, rates, strict=True)]
            figures[f"{kind}/{writers}"] = {
                "events_per_s": round(statistics.median(rates)),
                "tailrace_is": round(statistics.median(ratios), 2),
                "least": round(min(ratios), 2),
                "most": round(max(ratios), 2),
            }
    return figures


def _loads(dsn: str, rounds: int, tell: Listener) -> Figures:
    """A state of a long stream, with the newest snapshot as far away as it can be, and without."""
    tell("load", f"writing {LONG:,} events")
    stream, step = account.stream("long"), 10_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        append(connection, contracts, stream, [Opened(customer="c", owner="o")], expected=NEW)
        for begin in range(1, LONG, step):
            events = [Deposited(amount_cents=1)] * min(step, LONG - begin)
            append(connection, contracts, stream, events, expected=begin)
        newest = LONG - account.snapshot_every + 1
        save_snapshot(connection, account, "long", load_state(connection, account, "long", newest))
        _checkpoint(dsn)
        tell("load", "measuring")
        wholes, quicks = [], []
        for _ in range(rounds):
            wholes.append(_seconds(lambda: folded(connection, account, stream)))
            quicks.append(_seconds(lambda: load_state(connection, account, "long")))
        fold, quick = folded(connection, account, stream), load_state(connection, account, "long")
    if fold != quick or fold.version != LONG:
        raise AssertionError(f"the snapshot leads elsewhere: {quick} instead of {fold}")
    ratios = [whole / quick for whole, quick in zip(wholes, quicks, strict=True)]
    return {
        "whole_ms": round(statistics.median(wholes) * 1000, 1),
        "with_snapshot_ms": round(statistics.median(quicks) * 1000, 2),
        "events_per_s": round(LONG / statistics.median(wholes)),
        "times_faster": round(statistics.median(ratios)),
        "least": round(min(ratios)),
    }


def _seconds(act: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


@contextmanager
def _postgres(tell: Listener) -> Iterator[str]:
    """The DSN of a new server with what Debezium needs, and the durability that it comes with."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, mode=0o700)
    dsn = f"postgresql://postgres:bench@127.0.0.1:{free_ports(1)[0]}/postgres"
    server = Postgres("postgres-source", FOLDER, dsn, PROFILES["bench"])
    try:
        server.start(tell)
        yield dsn
    finally:
        server.stop(tell)
        shutil.rmtree(FOLDER, ignore_errors=True)


def _checkpoint(dsn: str) -> None:
    """No measurement pays for the dirty pages of the one before."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _show(figures: Figures) -> None:
    table = Table(title="Events appended a second, one a transaction; medians")
    for title in ("", "writers", "events/s", "tailrace is", "from", "to"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, one in figures["append"].items():
        kind, _, writers = name.rpartition("/")
        ratios = [f"{one[key]}×" for key in ("tailrace_is", "least", "most")]
        shown_ratios = [""] * 3 if kind == "tailrace" else ratios
        table.add_row(kind, writers, f"{one['events_per_s']:,}", *shown_ratios)
    console = Console()
    console.print(table)
    load, machine = figures["load_of_a_stream"], figures["load"]
    console.print(
        f"A state after {LONG:,} events: {load['whole_ms']:,.0f} ms by all of them"
        f" ({load['events_per_s']:,}/s), {load['with_snapshot_ms']} ms with a snapshot:"
        f" {load['times_faster']}× (at least {load['least']}×)\n"
        f"Load average: {machine['before']:.1f} before, at most {machine['highest']:.1f}"
    )


if __name__ == "__main__":
    typer.run(main)
