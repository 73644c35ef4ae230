"""
A probe for each server that pipelines use, however many of them use it.

Kafka is asked with what the sinks had applied before: in this order nothing seems done that is not.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from connectors.spec import ConnectorSpec
from tailrace import lag_sources
from tailrace.asking import Away, database
from tailrace.config import Kafka as Brokers
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.lag import Kafka, Source
from tailrace.watch import probes
from tailrace.watch.answers import Offsets
from tailrace.watch.probes import Probe, Seen
from tailrace.watch.states import STALE_INTERVALS
from tailrace.wiring import group_of, topic_of

SourceAnswer = Mapping[str, Source]
SinkAnswer = Mapping[str, Offsets]
KafkaAnswer = Mapping[str, tuple[Mapping[str, Offsets | None], Kafka]]


@dataclass(frozen=True, slots=True)
class Watched:
    """A pipeline and what its source connector is to be."""

    pipeline: Pipeline
    spec: ConnectorSpec

    @property
    def topics(self) -> dict[str, tuple[str, ...]]:
        """Of each sink."""
        return {
            name: tuple(topic_of(self.pipeline, table) for table in sink.tables)
            for name, sink in self.pipeline.sinks.items()
        }

    @property
    def worker_urls(self) -> tuple[str, ...]:
        """Where its daemons answer."""
        health = self.pipeline.health
        return self.pipeline.dashboard.workers or (f"http://{health.host}:{health.port}",)


class Servers:
    """
    Asks every server each `interval_s`. Probes are found by how their server is reached; an
    answer holds what was asked of it for all of its pipelines, by their names.
    """

    def __init__(self, watched: Sequence[Watched], interval_s: float) -> None:
        self.interval_s = interval_s
        self.sources: dict[str, Probe[Any, SourceAnswer]] = {}
        self.sinks: dict[str, Probe[Any, SinkAnswer]] = {}
        self.brokers: dict[Brokers, Probe[Any, KafkaAnswer]] = {}
        self.connects: dict[str, Probe[httpx.Client, probes.ConnectAnswer]] = {}
        self.keys: dict[str, Probe[Any, Mapping[str, Any]]] = {}
        self.workers: dict[tuple[str, ...], Probe[httpx.Client, list[probes.WorkersAnswer]]] = {}
        self._make(watched)
        for probe in self.all():
            probe.start()

    def all(self) -> Iterator[Probe[Any, Any]]:
        for kind in (
            *(self.sources, self.sinks, self.brokers),
            *(self.connects, self.keys, self.workers),
        ):
            yield from kind.values()

    def stop(self) -> None:
        for probe in self.all():
            probe.stop()

    def pace(self, interval_s: float) -> None:
        """From now on ask so often."""
        self.interval_s = interval_s
        for probe in self.all():
            probe.interval_s = interval_s

    def _make(self, watched: Sequence[Watched]) -> None:
        for dsn, users in _by(watched, lambda one: one.pipeline.source.dsn).items():
            self.sources[dsn] = Probe(
                "the source database",
                partial(database, dsn, "source database"),
                partial(_look_at_sources, users),
                self.interval_s,
            )
        self._make_sinks(watched)
        for brokers, users in _by(watched, lambda one: one.pipeline.kafka).items():
            self.brokers[brokers] = Probe(
                "Kafka",
                partial(lag_sources.log_reader, brokers),
                partial(self._look_at_kafka, users),
                self.interval_s,
            )
        for url in _by(watched, lambda one: one.spec.connect_url):
            open_ = partial(probes.http, url, "Connect")
            self.connects[url] = Probe("Connect", open_, probes.look_at_connect, self.interval_s)
        for url in _by(watched, lambda one: one.pipeline.redis.url):
            open_keys = partial(probes.keys, url)
            self.keys[url] = Probe("Redis", open_keys, probes.look_at_keys, self.interval_s)
        for urls in _by(watched, lambda one: one.worker_urls):
            self.workers[urls] = Probe(
                "the workers",
                partial(probes.http, "http://worker", "the workers"),
                partial(probes.look_at_workers, urls=urls),
                self.interval_s,
            )

    def _make_sinks(self, watched: Sequence[Watched]) -> None:
        groups: dict[str, dict[str, str]] = defaultdict(dict)
        for one in watched:
            for name, sink in one.pipeline.sinks.items():
                groups[sink.dsn][group_of(one.pipeline, name)] = name
        for dsn, named in groups.items():
            names = ", ".join(dict.fromkeys(named.values()))
            self.sinks[dsn] = Probe(
                f"the database of sink {names}",
                partial(database, dsn, f"database of sink {names}"),
                partial(_look_at_offsets, list(named)),
                self.interval_s,
            )

    def _look_at_kafka(
        self, users: Sequence[Watched], reader: lag_sources.LogReader
    ) -> KafkaAnswer:
        applied = {one.pipeline.name: self._applied(one) for one in users}
        wanted = {}
        for one in users:
            spec, offsets = one.spec, applied[one.pipeline.name]
            sinks = {name: (topics, offsets[name] or {}) for name, topics in one.topics.items()}
            beats = f"{spec.topic_prefix}.{spec.control_schema}.heartbeat"
            wanted[one.pipeline.name] = (sinks, beats)
        found = reader.read(wanted)
        return {name: (applied[name], kafka) for name, kafka in found.items()}

    def _applied(self, one: Watched) -> dict[str, Offsets | None]:
        """None where it is not known now: a server that says nothing gives no error either."""
        found: dict[str, Offsets | None] = {}
        for name, sink in one.pipeline.sinks.items():
            probe = self.sinks[sink.dsn]
            age_s = time.time() - probe.seen.answered_at_s if probe.seen else float("inf")
            is_fresh = probe.away is None and age_s <= STALE_INTERVALS * self.interval_s
            group = group_of(one.pipeline, name)
            found[name] = probe.seen.answer[group] if probe.seen and is_fresh else None
        return found


def known(probe: Probe[Any, Any]) -> "Seen[Any] | Away | None":
    """The newest answer, unless the last question had none."""
    return Away(probe.away) if probe.away else probe.seen


def _by(watched: Sequence[Watched], key: Callable[[Watched], Any]) -> dict[Any, list[Watched]]:
    """Those that share a server, by how it is reached."""
    found: dict[Any, list[Watched]] = defaultdict(list)
    for one in watched:
        found[key(one)].append(one)
    return found


def _look_at_sources(users: Sequence[Watched], connection: Connection) -> SourceAnswer:
    return {one.pipeline.name: lag_sources.look_at_source(connection, one.spec) for one in users}


def _look_at_offsets(groups: Sequence[str], connection: Connection) -> SinkAnswer:
    return lag_sources.next_offsets(connection, groups)
