"""
The order of the measurements. What is compared is measured in turn within each round, so that a
change of the machine's load meets all of them; figures are medians, ratios are taken in a round.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from bench import chain, data, drain, jdbc, latency
from bench.chain import CatchUp
from bench.lab import Lab
from bench.latency import Latency
from bench.runs import Run

MEASURES = ("drain", "peer", "replay", "chain", "latency")
PEER = "JDBC sink"
PEER_DEFAULT = "JDBC sink, default"
PEER_BEST = "JDBC sink, best"


@dataclass(frozen=True)
class Size:
    """How much is measured. `rates` are transactions a second, `seconds` how long for each."""

    events: int = 500_000
    rounds: int = 3
    rates: tuple[int, ...] = (1, 100, 500)
    seconds: float = 10.0

    @property
    def replayed(self) -> int:
        """Within what Redis keeps of a partition (consumer/dedup.py)."""
        return min(self.events, 200_000)

    @property
    def chained(self) -> int:
        """Debezium's pace makes these the longest."""
        return min(self.events, 300_000)


@dataclass
class Found:
    """What the rounds gave, a list entry a round."""

    drain: list[list[Run]] = field(default_factory=list)
    replay: list[tuple[Run, Run, Run]] = field(default_factory=list)
    chain: list[tuple[CatchUp, Run]] = field(default_factory=list)
    latency: list[dict[int, Latency]] = field(default_factory=list)


def measure(lab: Lab, size: Size, only: Collection[str]) -> Found:
    """Everything that is named in `only`. Raises BenchFailed and what the stack raises."""
    found = Found()
    if {"drain", "peer"} & {*only}:
        _drains(lab, size, found, with_peer="peer" in only)
    if "replay" in only:
        for number in range(size.rounds):
            found.replay.append(drain.replays(lab, f"{lab.name}_replay{number}", size.replayed))
    if {"chain", "latency"} & {*only}:
        with chain.running(lab) as running:
            if "chain" in only:
                _chains(running, size, found)
            if "latency" in only:
                _latencies(running, size, found)
    return found


def _drains(lab: Lab, size: Size, found: Found, *, with_peer: bool) -> None:
    events = size.events
    topic = f"{lab.name}_drain"
    lab.produce(topic, data.events(range(events), topic), events)
    if not with_peer:
        for _ in range(size.rounds):
            runs = [drain.copy(lab, events), drain.ours(lab, topic, events)]
            found.drain.append([*runs, drain.copy(lab, events)])
        return
    bare, carrying = jdbc.topics(lab, events)
    jdbc.sink(lab, bare, events, "warm-up", jdbc.best(bare))  # a JVM is slow while it compiles
    for _ in range(size.rounds):
        found.drain.append(
            [
                drain.copy(lab, events),
                drain.ours(lab, topic, events),
                jdbc.sink(lab, carrying, events, PEER, jdbc.BATCHES),
                drain.ours(lab, topic, events),
                jdbc.sink(lab, bare, events, PEER_BEST, jdbc.best(bare)),
                drain.ours(lab, topic, events),
                jdbc.sink(lab, carrying, events, PEER_DEFAULT, jdbc.DEFAULTS),
                drain.copy(lab, events),
            ]
        )


def _chains(running: chain.Chain, size: Size, found: Found) -> None:
    running.insert(size.chained // 3)
    running.await_all("warm-up")
    for _ in range(size.rounds):
        caught_up = running.catch_up(size.chained)
        found.chain.append((caught_up, running.catch_up_alone(size.chained)))


def _latencies(running: chain.Chain, size: Size, found: Found) -> None:
    for _ in range(size.rounds):
        found.latency.append(
            {rate: latency.measure(running, rate, size.seconds) for rate in size.rates}
        )
