"""From rounds to figures: medians of what was measured, medians of the ratios in each round."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.rounds import PEER, PEER_BEST, PEER_DEFAULT, Found
from bench.runs import Run

Figures = dict[str, Any]


def figures(found: Found) -> Figures:
    """Nested: `drain`, `replay`, `chain`, `latency`, `memory`, as far as they were measured."""
    summary: Figures = {}
    if found.drain:
        summary["drain"] = _drain(found.drain)
        peaks = [run.peak_mib for runs in found.drain for run in runs if run.peak_mib]
        summary["memory"] = {"worker_peak_mib": round(max(peaks), 1)}
    if found.replay:
        summary["replay"] = _replay(found)
    if found.chain:
        summary["chain"] = _chain(found)
    if found.latency:
        summary["latency"] = {
            str(rate): {
                name: _middle((asdict(round_[rate])[name] for round_ in found.latency), 1)
                for name in ("rate", "p50_ms", "p95_ms", "p99_ms")
            }
            for rate in found.latency[0]
        }
    return summary


def all_runs(found: Found) -> list[Figures]:
    """Every single run, for whoever wants to look behind a median."""
    runs = [run for round_ in [*found.drain, *found.replay] for run in round_]
    for caught, alone in found.chain:
        runs += [caught.into_kafka, caught.visible, alone]
    return [asdict(run) | {"per_s": round(run.per_s)} for run in runs]


def load(found: Found) -> Figures:
    """The load average from lowest to highest, and the cores that others kept busy (median)."""
    runs = [run for round_ in [*found.drain, *found.replay] for run in round_]
    runs += [run for caught, alone in found.chain for run in (caught.visible, alone)]
    loads = [run.load for run in runs]
    loads += [each.load for round_ in found.latency for each in round_.values()]
    others = [run.others_cores for run in runs]
    return {
        "lowest": min(loads),
        "highest": max(loads),
        "others_cores": _middle(others, 2) if others else None,
    }


def _drain(rounds: list[list[Run]]) -> Figures:
    def rate(what: str) -> Callable[[list[Run]], float]:
        return lambda runs: median(run.per_s for run in runs if run.what == what)

    def cpu(what: str, process: str) -> float:
        return _middle((run.cpu_us[process] for runs in rounds for run in _of(runs, what)), 2)

    ours, floor = rate("tailrace"), rate("COPY")
    wal = _middle((r.wal_bytes for runs in rounds for r in _of(runs, "tailrace")), 1)
    summary = {
        "tailrace_events_per_s": _middle(map(ours, rounds)),
        "copy_rows_per_s": _middle(map(floor, rounds)),
        "vs_copy": _middle((ours(runs) / floor(runs) for runs in rounds), 2),
        "tailrace_cpu_us": cpu("tailrace", "worker"),
        "tailrace_target_cpu_us": cpu("tailrace", "postgres-target"),
        "copy_target_cpu_us": cpu("COPY", "postgres-target"),
        "tailrace_wal_bytes": wal,
        "copy_wal_bytes": _middle((r.wal_bytes for runs in rounds for r in _of(runs, "COPY")), 1),
    }
    for name, what in (
        ("jdbc_sink", PEER),
        ("jdbc_sink_default", PEER_DEFAULT),
        ("jdbc_sink_best", PEER_BEST),
    ):
        if _of(rounds[0], what):
            peer = rate(what)
            summary |= {
                f"{name}_events_per_s": _middle(map(peer, rounds)),
                f"vs_{name}": _middle((ours(r) / peer(r) for r in rounds), 1),
                f"{name}_cpu_us": cpu(what, "connect"),
                f"{name}_target_cpu_us": cpu(what, "postgres-target"),
            }
    return summary


def _replay(found: Found) -> Figures:
    first, keys, guards = zip(*found.replay, strict=True)
    return {
        "first_events_per_s": _middle(run.per_s for run in first),
        "keys_events_per_s": _middle(run.per_s for run in keys),
        "guards_events_per_s": _middle(run.per_s for run in guards),
        "keys_vs_first": _middle((k.per_s / f.per_s for f, k, _ in found.replay), 2),
        "guards_vs_first": _middle((g.per_s / f.per_s for f, _, g in found.replay), 2),
        "rows_changed": 0,  # anything else ends the bench
    }


def _chain(found: Found) -> Figures:
    caught = [each for each, _ in found.chain]
    return {
        "tailrace_events_per_s": _middle(each.visible.per_s for each in caught),
        "debezium_events_per_s": _middle(each.into_kafka.per_s for each in caught),
        "debezium_alone_events_per_s": _middle(alone.per_s for _, alone in found.chain),
        "vs_debezium": _middle((each.visible.per_s / each.into_kafka.per_s for each in caught), 2),
        "vs_debezium_alone": _middle((c.visible.per_s / a.per_s for c, a in found.chain), 2),
        "last_row_behind_ms": _middle(each.last_behind_ms for each in caught),
    }


def _of(runs: Iterable[Run], what: str) -> list[Run]:
    return [run for run in runs if run.what == what]


def _middle(values: Iterable[float], digits: int = 0) -> float:
    rounded = round(median(values), digits)
    return rounded if digits else int(rounded)
