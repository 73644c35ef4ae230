"""
All pipelines, looked at every `interval_s`: what their servers answered becomes one snapshot.

The probes ask; this puts their newest answers together, keeps the windows that the states rest
on, and remembers since when each state has been.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tailrace.asking import Away
from tailrace.exits import USAGE, Problem
from tailrace.watch import assemble, view
from tailrace.watch.answers import Answers, Memory
from tailrace.watch.budget import Limits
from tailrace.watch.probes import Probe, Seen
from tailrace.watch.servers import Servers, Watched, known
from tailrace.watch.skew import Clock, clock_of
from tailrace.wiring import group_of

INTERVAL_S = 1.0
SHARE = 0.04  # of a core, that looking may take before it looks less often
GROWS, SHRINKS = 1.5, 0.8  # how far the interval goes at a look


class Sampler:
    """
    Starts to ask when it is made; `stop` ends that. `interval_s` grows with what a look costs.

    Raises Problem (TR-DSH-001) where two pipelines have one name.
    """

    def __init__(self, watched: Sequence[Watched], interval_s: float = INTERVAL_S) -> None:
        names = [one.pipeline.name for one in watched]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise Problem(
                "TR-DSH-001",
                f"Two files describe a pipeline {twice}: give each its own name, or leave one out.",
                exit_code=USAGE,
            )
        self._watched = watched
        self._shortest_s = interval_s
        self._looked_at_s = 0.0
        self._memories: dict[str, Memory] = defaultdict(Memory)
        self._clocks: dict[tuple[int, str], tuple[Clock, float]] = {}
        self._servers = Servers(watched, interval_s)

    @property
    def interval_s(self) -> float:
        return self._servers.interval_s

    def stop(self) -> None:
        self._servers.stop()

    def look(self, now_s: float | None = None) -> view.Snapshot:
        """The pipelines as their servers last described them, worst first."""
        now_s, began_s = now_s or time.time(), time.thread_time()
        if now_s < self._looked_at_s - self.interval_s:
            self._memories.clear()  # the clock was set back: what is remembered is yet to come
        self._looked_at_s = now_s
        found = [
            assemble.pipeline(self._answers(one), self._memories[one.pipeline.name], now_s)
            for one in self._watched
        ]
        found.sort(key=lambda one: (-one.verdict.state.badness, one.name))
        snapshot = view.Snapshot(now_s, self.interval_s, tuple(found))
        self._pace(time.thread_time() - began_s)
        return snapshot

    def _pace(self, judging_s: float) -> None:
        cost_s = judging_s + sum(probe.cost_s for probe in self._servers.all())
        wanted_s = max(self._shortest_s, cost_s / SHARE)
        self._servers.pace(paced(self.interval_s, wanted_s))

    def _answers(self, one: Watched) -> Answers:
        pipeline, servers, shown = one.pipeline, self._servers, one.pipeline.dashboard
        sinks = {name: servers.sinks[sink.dsn] for name, sink in pipeline.sinks.items()}
        source = servers.sources[pipeline.source.dsn]
        connect = servers.connects[one.spec.connect_url]
        return Answers(
            name=pipeline.name,
            slot=one.spec.slot,
            tables=pipeline.source.tables,
            topics=one.topics,
            interval_s=self.interval_s,
            heartbeat_interval_ms=one.spec.heartbeat_interval_ms,
            allowed_lag_s=shown.allowed_lag_s,
            budget_limits=Limits(
                shown.budget_warn_s,
                shown.budget_warn_share,
                shown.budget_critical_s,
                shown.budget_critical_share,
            ),
            source=_part(known(source), pipeline.name),
            kafka=_part(known(servers.brokers[pipeline.kafka]), pipeline.name),
            connect=_connector(known(connect), one.spec.name),
            redis=known(servers.keys[pipeline.redis.url]),
            workers=known(servers.workers[one.worker_urls]),
            sinks_away={name: probe.away for name, probe in sinks.items()},
            sinks_seen_at_s={
                name: probe.seen.answered_at_s if probe.seen else None
                for name, probe in sinks.items()
            },
            skews=self._skews(one),
            waiting={
                name: seen.answer[group_of(pipeline, name)].waiting
                for name, probe in sinks.items()
                if isinstance(seen := known(probe), Seen)
            },
        )

    def _skews(self, one: Watched) -> dict[str, view.Skew | None]:
        """Of every clock that has answered, by its name; most tell whole seconds only."""
        servers, found = self._servers, {}
        source = servers.sources[one.pipeline.source.dsn]
        connect = servers.connects[one.spec.connect_url]
        workers = servers.workers[one.worker_urls]
        if heard := source.seen:
            shown_s = (heard.asked_at_s + heard.answered_at_s) / 2 + heard.answer[
                one.pipeline.name
            ].ahead_s
            found["source"] = self._heard("source", source, heard, shown_s, tick_s=0.0)
        if (told := connect.seen) and told.answer.date_s:
            found["connect"] = self._heard("connect", connect, told, told.answer.date_s)
        if said := workers.seen:
            for each in said.answer:
                if each.date_s:
                    clock = clock_of(each.where)
                    found[clock] = self._heard(clock, workers, said, each.date_s)
        return found

    def _heard(
        self,
        name: str,
        probe: Probe[Any, Any],
        seen: Seen[Any],
        shown_s: float,
        tick_s: float = 1.0,
    ) -> view.Skew | None:
        """Each answer counts once, whoever needs it."""
        key = (id(probe), name)
        clock, heard_at_s = self._clocks.get(key, (Clock(name), 0.0))
        if seen.asked_at_s != heard_at_s:
            clock.heard(seen.asked_at_s, seen.answered_at_s, shown_s, tick_s)
            self._clocks[key] = (clock, seen.asked_at_s)
        return clock.skew


def paced(interval_s: float, wanted_s: float) -> float:
    """
    The next interval, on the way to the one that is wanted: one dear look is no trend, and answers
    to questions that were put at the old pace must not seem old at the new one.
    """
    return min(max(wanted_s, SHRINKS * interval_s), GROWS * interval_s)


def _part(found: "Seen[Any] | Away | None", name: str) -> "Seen[Any] | Away | None":
    """Of an answer for several pipelines that for this one."""
    return _mapped(found, found.answer[name]) if isinstance(found, Seen) else found


def _connector(found: "Seen[Any] | Away | None", name: str) -> "Seen[Any] | Away | None":
    return _mapped(found, found.answer.connectors.get(name)) if isinstance(found, Seen) else found


def _mapped(seen: Seen[Any], answer: Any) -> Seen[Any]:
    return Seen(answer, seen.asked_at_s, seen.answered_at_s)
