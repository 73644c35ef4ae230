"""
What looking costs, in a process of its own: `python -m bench.fleet_look FOLDER SECONDS`.

At its end it writes what it measured to stdout as a line of JSON. With PROFILE in place of SECONDS
it writes a profile of the judging to stderr instead.
"""

import cProfile
import json
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tailrace.config import load
from tailrace.dashboard import live
from tailrace.source import spec_of
from tailrace.watch.sampler import Sampler
from tailrace.watch.servers import Watched
from tailrace.watch.view import Snapshot

SETTLED_SHARE = 0.1  # an interval that changes by less is settled
SETTLES_WITHIN_S = 60.0
KINDS = ("sources", "sinks", "brokers", "connects", "keys", "workers")
TIMES = 5


def main(folder: str, words: str) -> None:
    """See above."""
    pipelines = [load(file, env={}) for file in sorted(Path(folder).glob("*.yaml"))]
    sampler = Sampler([Watched(one, spec_of(one)) for one in pipelines])
    settle(sampler)
    if words == "PROFILE":
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(TIMES):
            time.sleep(sampler.interval_s)
            sampler.look()
        profile.disable()
        sys.stdout = sys.stderr
        profile.print_stats("tottime")
        return
    sys.stdout.write(json.dumps(measured(sampler, float(words))) + "\n")


def settle(sampler: Sampler) -> None:
    """Looks until the interval does."""
    until_s = time.monotonic() + SETTLES_WITHIN_S
    before_s = 0.0
    while time.monotonic() < until_s:
        time.sleep(sampler.interval_s)
        sampler.look()
        now_s = sampler.interval_s
        if abs(now_s - before_s) < SETTLED_SHARE * now_s and now_s > 1.01:
            return
        before_s = now_s


def measured(sampler: Sampler, seconds: float) -> dict[str, Any]:
    """All CPU of this process, by time and by look, and what the parts say of themselves."""
    parts: dict[str, list[float]] = defaultdict(list)
    states: Counter[str] = Counter()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    looks = 0
    while time.monotonic() < began_s + seconds or not looks:
        time.sleep(sampler.interval_s)
        before_s = time.thread_time()
        snapshot = sampler.look()
        parts["judging"].append(time.thread_time() - before_s)
        for kind, cost_s in _costs(sampler):
            parts[kind].append(cost_s)
        states.update(one.verdict.state.value for one in snapshot.pipelines)
        states.update(f"sink {one.sinks[0].verdict.state.value}" for one in snapshot.pipelines)
        looks += 1
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    return {
        "seconds": round(took_s, 1),
        "core_share": round(cpu_s / took_s, 4),
        "interval_s": round(sampler.interval_s, 2),
        "looks": looks,
        "cpu_per_look_ms": round(cpu_s / looks * 1000, 1),
        "by_part_ms": {name: _ms(costs) for name, costs in parts.items()},
        "threads": threading.active_count(),
        "states": dict(states),
        "render_ms": _ms(list(_renders(sampler, snapshot))),
    }


def _costs(sampler: Sampler) -> Iterator[tuple[str, float]]:
    for kind in KINDS:
        probes = getattr(sampler._servers, kind)
        yield kind, sum(probe.cost_s for probe in probes.values())


def _renders(sampler: Sampler, snapshot: Snapshot) -> Iterator[float]:
    """CPU of the overview of that snapshot, with a minute's lags in every row."""
    lags = {(p.name, s.name): [s.lag_s] * 60 for p in snapshot.pipelines for s in p.sinks}
    desk: Any = SimpleNamespace(hub=SimpleNamespace(latest=snapshot, lags_s=lags, trouble=None))
    for _ in range(TIMES):
        before_s = time.thread_time()
        live.overview(desk, {})
        yield time.thread_time() - before_s


def _ms(costs_s: list[float]) -> float:
    return round(statistics.median(costs_s) * 1000, 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
