"""
Tours through five services, in both styles: `python -m bench.sagas`. Takes about seven minutes.

How long a tour takes when ten a second are asked for, and how many a second can be had, through
real outboxes, Debezium and Kafka. Five steps: three at once, the payment, the tickets. Then the
same by the library `dbos` in one process, in the same databases.
"""

import statistics
import threading
import time
from pathlib import Path
from typing import Annotated, Any, LiteralString
from uuid import uuid4

import psycopg
import typer

from bench.alone import FOLDER, alone, keep, own_stack
from bench.lab import BenchFailed
from bench.machine import cpu_s
from bench.sagas_dbos import Peer
from devstack import Stack
from examples.tour.booking import BookTour, office
from examples.tour.load import requests
from sagas.orchestrator import start
from sagas.protocol import Style
from sinks.target import load_statements
from tailrace.databases import make_database
from tailrace.progress import Listener
from tailrace.tour import SERVICES, Tour

STATEMENTS = load_statements(Path(__file__).with_suffix(".sql"))
STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
PEER = "dbos"
GOALS = {"sagas_per_s": 100, "p50_ms": 600}
PLENTY = {
    "flight": ("flight-", 12_000, 100_000, 20),
    "hotel": ("hotel-", 8_000, 100_000, 20),
    "car": ("car-", 4_000, 100_000, 10),
}
BEGINNERS = 4
WARM_UP = 3000
PEER_SHARE = 4  # one process, so that all of them would only take longer
WITHIN_S = 300
LOOK_EVERY_S = 0.2
PAUSE = threading.Event()

Figures = dict[str, Any]


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of the steady load.")] = 20.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Tours a second of it.")] = 10.0,
    many: Annotated[int, typer.Option(min=10, help="Tours that are asked for at once.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each, the styles in turn.")] = 2,
) -> None:
    """Measure on a stack that is made for it and gone afterwards."""
    with alone() as tell, own_stack(tell) as stack:
        figures = _measure(stack, tell, seconds, rate, many, rounds)
    _show(figures)
    keep("sagas", figures | {"goals": GOALS})


def _measure(
    stack: Stack, tell: Listener, seconds: float, rate: float, many: int, rounds: int
) -> Figures:
    tour = Tour(stack.up(tell), FOLDER / "tour", tell, prefix="bench_", stock=PLENTY)
    tour.prepare()
    with tour.connect("payment") as connection:
        connection.execute(STATEMENTS["plenty"])
    try:
        for name in SERVICES:
            tour.start(name)
        figures: Figures = {style: {"latency": [], "throughput": []} for style in STYLES}
        for style in STYLES:  # until every topic is known, and the JVMs have compiled what they run
            _at_once(tour, style, WARM_UP, tell)
        for _ in range(rounds):
            for style in STYLES:
                figures[style]["latency"].append(_steady(tour, style, seconds, rate, tell))
        for _ in range(rounds):
            for style in STYLES:
                figures[style]["throughput"].append(_at_once(tour, style, many, tell))
    finally:
        tour.close()
    return figures | {PEER: _peer(tour, tell, seconds, rate, many // PEER_SHARE, rounds)}


def _peer(
    tour: Tour, tell: Listener, seconds: float, rate: float, many: int, rounds: int
) -> Figures:
    """With the services and connectors gone: no slot reads what it writes."""
    databases = {name: tour.services[name].dsn for name in SERVICES if name != "tours"}
    figures: Figures = {"latency": [], "throughput": []}
    with (tour.folder / f"{PEER}.log").open("ab") as log:
        peer = Peer(make_database(tour.at.source, f"{tour.prefix}{PEER}"), databases, log)
    try:
        peer.book(20)
        with psycopg.connect(peer.system, autocommit=True) as connection:
            for _ in range(rounds):
                tell(PEER, f"{rate:g} tours a second for {seconds:g} s")
                ids = peer.book(int(seconds * rate), rate=rate)["ids"]
                figures["latency"].append(_latency(connection, STATEMENTS["latency_dbos"], ids))
        for _ in range(rounds):
            tell(PEER, f"{many:,} tours at once")
            before_s = cpu_s(peer.process.pid)
            done = peer.book(many)
            used_s = cpu_s(peer.process.pid) - before_s
            figures["throughput"].append(
                {
                    "tours": many,
                    "per_s": round(many / done["took_s"], 1),
                    "asked_in_s": round(done["asked_s"], 2),
                    "cpu_ms_a_tour": {PEER: round(used_s * 1000 / many, 2)},
                }
            )
    finally:
        peer.close()
    return figures


def _steady(tour: Tour, style: Style, seconds: float, rate: float, tell: Listener) -> Figures:
    tell(style, f"{rate:g} tours a second for {seconds:g} s")
    asked = iter(requests(seed=1, refused_share=0.0))
    ids = []
    began_s = time.monotonic()
    with psycopg.connect(tour.services["tours"].dsn) as connection:
        for nth in range(int(seconds * rate)):
            PAUSE.wait(max(0.0, began_s + nth / rate - time.monotonic()))
            _, request = next(asked)
            with connection.transaction():
                ids.append(start(connection, office, BookTour, request, style=style))
    _until_over(tour, tell)
    with tour.connect("tours") as connection:
        return _latency(connection, STATEMENTS["latency"], ids)


def _latency(
    connection: psycopg.Connection[Any], statement: LiteralString, ids: list[Any]
) -> Figures:
    row = connection.execute(statement, [ids]).fetchone()
    assert row is not None
    if row[0] != len(ids):
        raise BenchFailed(f"{row[0]} of {len(ids)} tours were completed")
    return {"tours": row[0], "p50_ms": round(row[1], 1), "p99_ms": round(row[2], 1)}


def _at_once(tour: Tour, style: Style, many: int, tell: Listener) -> Figures:
    """From the first request to the last end, asked for as fast as some connections can."""
    tell(style, f"{many:,} tours at once")
    before, before_s = _completed(tour), _cpu_s(tour)
    began_s = time.monotonic()
    threads = [
        threading.Thread(target=_begin, args=(tour, style, many // BEGINNERS, seed))
        for seed in range(BEGINNERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked_s = time.monotonic() - began_s
    _until_over(tour, tell)
    took_s = time.monotonic() - began_s
    done = many // BEGINNERS * BEGINNERS
    if (completed := _completed(tour) - before) != done:
        raise BenchFailed(f"{completed} of {done} tours were completed")
    return {
        "tours": done,
        "per_s": round(done / took_s, 1),
        "asked_in_s": round(asked_s, 2),
        "cpu_ms_a_tour": {
            name: round((after_s - before_s[name]) * 1000 / done, 2)
            for name, after_s in _cpu_s(tour).items()
        },
    }


def _begin(tour: Tour, style: Style, many: int, seed: int) -> None:
    asked = ((uuid4(), request) for _, request in requests(seed, refused_share=0.0))
    tour.begin(many, style, asked)


def _until_over(tour: Tour, tell: Listener) -> None:
    until_s = time.monotonic() + WITHIN_S
    told_s = time.monotonic()
    while left := tour.live():
        if time.monotonic() > until_s:
            raise BenchFailed(f"{left} tours were not over after {WITHIN_S} s")
        if time.monotonic() > told_s + 2:
            told_s = time.monotonic()
            tell("tours", f"{left:,} are under way")
        PAUSE.wait(LOOK_EVERY_S)


def _completed(tour: Tour) -> int:
    with tour.connect("tours") as connection:
        row = connection.execute(STATEMENTS["completed"]).fetchone()
    assert row is not None
    return int(row[0])


def _cpu_s(tour: Tour) -> dict[str, float]:
    return {
        tour.named[process.pid]: cpu_s(process.pid)
        for process in tour.running
        if process.poll() is None
    }


def _show(figures: Figures) -> None:
    for style in (*STYLES, PEER):
        latency = figures[style]["latency"]
        rates = [each["per_s"] for each in figures[style]["throughput"]]
        cpu_ms = [sum(each["cpu_ms_a_tour"].values()) for each in figures[style]["throughput"]]
        typer.echo(
            f"{style:<14} p50 {statistics.median(one['p50_ms'] for one in latency):6.0f} ms,"
            f" p99 {statistics.median(one['p99_ms'] for one in latency):6.0f} ms;"
            f" {statistics.median(rates):6.1f} tours/s (all rounds:"
            f" {', '.join(f'{rate:.0f}' for rate in rates)});"
            f" {statistics.median(cpu_ms):.1f} ms of CPU a tour"
        )


if __name__ == "__main__":
    typer.run(main)
