"""
Read models of an event store: `python -m bench.projections`. Takes about six minutes.

How fast each form of projection is built from a store of half a million events, and how long after
its commit an event that is published 100 times a second is visible in a read model.
"""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
import yaml

from bench.alone import alone, keep, own_stack
from bench.lab import WITHIN_S, BenchFailed, Lab
from connectors import operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from devstack.process import free_ports
from eventstore import store, versions
from eventstore.projection import Projection
from eventstore.rebuild import build
from examples.bank.events import Opened, contracts
from examples.bank.projections import balances, deposits, turnover
from sinks.target import load_statements
from tailrace.config import load
from tailrace.source import spec_of
from tailrace.wiring import group_of

STATEMENTS = load_statements(Path(__file__).with_suffix(".sql"))
FORMS = {"SQL": deposits, "Python, a batch": turnover, "Python, one by one": balances}
GOALS = {"SQL": 100_000, "Python, a batch": 30_000, "Python, one by one": 30_000, "p50_ms": 150}
NAME = "bankbench"
LOOK_EVERY_S = 0.001
RATE_PER_S = 100
WARM_UP = 200


def main(
    events: Annotated[int, typer.Option(min=1000, help="In the store.")] = 500_000,
    streams: Annotated[int, typer.Option(min=1, help="That they are in.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each form, in turn.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Of publishing.")] = 30.0,
) -> None:
    """Measure on a stack that is made for it and gone afterwards."""
    with alone() as tell, own_stack(tell) as stack:
        lab = Lab(stack, stack.up(tell), tell, NAME)
        figures = {
            "size": {"events": events, "streams": streams, "rounds": rounds},
            "latency": _latency(lab, seconds),
            "events_per_s": _replays(lab, events, streams, rounds),
            "goals": GOALS,
        }
    _show(figures)
    keep("projections", figures)


def _show(figures: dict[str, Any]) -> None:
    for form, rates in figures["events_per_s"].items():
        typer.echo(
            f"built, {form:<20} {statistics.median(rates):>10,.0f} events/s"
            f"   (asked {GOALS[form]:,}; all rounds: {', '.join(f'{r:,.0f}' for r in rates)})"
        )
    found = figures["latency"]
    typer.echo(
        f"published to visible at {found['rate_per_s']:.0f}/s: p50 {found['p50_ms']:.1f} ms,"
        f" p99 {found['p99_ms']:.1f} ms   (asked {GOALS['p50_ms']})"
    )


def _replays(lab: Lab, events: int, streams: int, rounds: int) -> dict[str, list[float]]:
    with psycopg.connect(lab.source, autocommit=True) as source:
        lab.tell("store", f"{events:,} events are written")
        source.execute(STATEMENTS["empty"])
        store.create_schema(source)
        source.execute(STATEMENTS["fill"], {"events": events, "streams": streams})
        source.execute(STATEMENTS["settle"])
    found: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(rounds):
        for form, projection in FORMS.items():
            lab.settle()
            found[form].append(events / _build_s(lab, form, projection))
    return found


def _build_s(lab: Lab, form: str, projection: Projection) -> float:
    def progress(done: int, of: int) -> None:
        lab.tell(form, f"{done:,} of {of:,} events")

    began_s = time.monotonic()
    build(lab.target, lab.source, form, projection, dict, progress)
    took_s = time.monotonic() - began_s
    _drop(lab, form)
    return took_s


def _drop(lab: Lab, sink: str) -> None:
    with psycopg.connect(lab.target) as target:
        target.execute(STATEMENTS["hide"])
        versions.drop(target, sink)


def _latency(lab: Lab, seconds: float) -> dict[str, float]:
    with psycopg.connect(lab.source) as source:
        store.create_schema(source)
    file = _pipeline_file(lab)
    with _following(lab, file):
        waits_ms = _publish(lab, int(seconds * RATE_PER_S) + WARM_UP)[WARM_UP:]
    _drop(lab, group_of(load(file, env={}), "balances"))
    ordered = sorted(waits_ms)
    return {
        "rate_per_s": RATE_PER_S,
        "samples": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
    }


def _pipeline_file(lab: Lab) -> Path:
    file = lab.stack.folder / f"{NAME}.yaml"
    pipeline = {
        "pipeline": NAME,
        "source": {
            "dsn": lab.source,
            "tables": ["eventstore.events"],
            "placeholder": "unchanged-0b6b1f0c8e0d4c4e",
            "password_reference": f"${{file:{lab.at.secrets}:source.password}}",
        },
        "connect": {"url": lab.at.connect},
        "kafka": {"bootstrap": lab.at.kafka},
        "redis": {"url": lab.at.redis},
        "sinks": {
            "balances": {
                "type": "projection",
                "dsn": lab.target,
                "module": "examples.bank.projections:balances",
            }
        },
        "health": {"port": free_ports(1)[0]},
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(pipeline))
    return file


@contextmanager
def _following(lab: Lab, file: Path) -> Iterator[None]:
    """The connector and a daemon that keeps the read model."""
    spec = spec_of(load(file, env={}))
    words = [sys.executable, "-m", "tailrace"]
    with (
        Connect(spec.connect_url) as connect,
        psycopg.connect(lab.source, autocommit=True) as source,
    ):
        at = At(connect, source)
        register.apply(spec, at, register.make_plan(spec, at))
        subprocess.run([*words, "projections", "build", "balances", "-c", str(file)], check=True)
        with (lab.stack.folder / "daemon.log").open("w") as log:
            daemon = subprocess.Popen([*words, "run", "--config", str(file)], stderr=log)
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait()
            operate.delete(spec, at, drop_slot=True, drop_publication=True)


def _publish(lab: Lab, events: int) -> list[float]:
    """Milliseconds from each commit until a reader sees its account."""
    seen_s: list[float] = []
    reader = threading.Thread(target=_read, args=(lab.target, events, seen_s), daemon=True)
    reader.start()
    committed_s = []
    with psycopg.connect(lab.source) as tx:
        began_s = time.monotonic()
        for number in range(events):
            if number == WARM_UP:  # the worker has started when these are there
                _await(seen_s, number)
                began_s = time.monotonic() - number / RATE_PER_S
            time.sleep(max(0.0, began_s + number / RATE_PER_S - time.monotonic()))
            opened = Opened(customer=f"c{number}", owner="Ada Lovelace")
            store.append(tx, contracts, f"account-{number}", [opened], expected=store.NEW)
            tx.commit()
            committed_s.append(time.monotonic())
            if number % RATE_PER_S == 0:
                lab.tell("latency", f"{number:,} of {events:,} events are published")
    _await(seen_s, events)
    return [(seen - done) * 1000 for seen, done in zip(seen_s, committed_s, strict=True)]


def _await(seen_s: list[float], events: int) -> None:
    until_s = time.monotonic() + WITHIN_S
    while len(seen_s) < events:
        if time.monotonic() > until_s:
            raise BenchFailed(f"only {len(seen_s):,} of {events:,} events came: see daemon.log")
        time.sleep(LOOK_EVERY_S)


def _read(dsn: str, events: int, seen_s: list[float]) -> None:
    with psycopg.connect(dsn, autocommit=True) as target:
        while len(seen_s) < events:
            row = target.execute(STATEMENTS["arrived"], prepare=True).fetchone()
            seen_s += [time.monotonic()] * ((row[0] if row else 0) - len(seen_s))
            time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    typer.run(main)
