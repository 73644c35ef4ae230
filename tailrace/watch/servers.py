"""
A probe for each server that pipelines use, however many of them use it.

Kafka is asked with what the sinks had applied before: in this order nothing seems done that is not.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import httpx

from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition
from supervision import waiting
from supervision.waiting import Waiting, Walk
from tailrace import lag_sources
from tailrace.asking import Away, database
from tailrace.config import Kafka as Brokers
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.lag import Kafka, Source
from tailrace.logs import LogReader, log_reader
from tailrace.parked.resolutions import count_decided
from tailrace.watch import probes
from tailrace.watch.answers import KafkaAnswer, Offsets
from tailrace.watch.probes import Probe, Seen
from tailrace.watch.states import is_news
from tailrace.wiring import dead_letter_topic, group_of, topics_of

SourceAnswer = Mapping[str, Source]
KafkaAnswers = Mapping[str, KafkaAnswer]
NOWHERE = 1 << 62  # no record is there, so none is fetched


class SinkAnswer(NamedTuple):
    """How far one sink is, of how many dead letters somebody has decided, and what waits there."""

    offsets: Offsets
    decided: int
    waiting: Waiting


class Letters(NamedTuple):
    """Kafka's id of the topic of dead letters of a sink, and its first number."""

    log: str
    first: int


@dataclass(frozen=True)
class Watched:
    """A pipeline and what its source connector is to be."""

    pipeline: Pipeline
    spec: ConnectorSpec

    @cached_property
    def topics(self) -> dict[str, tuple[str, ...]]:
        """Of each sink."""
        return {name: tuple(topics_of(self.pipeline, name)) for name in self.pipeline.sinks}

    @property
    def worker_urls(self) -> tuple[str, ...]:
        """Where its daemons answer."""
        return probes.worker_urls(self.pipeline)


class Servers:
    """
    Asks every server each `interval_s`. Probes are found by how their server is reached; an
    answer holds what was asked of it for all of its pipelines, by their names.
    """

    def __init__(self, watched: Sequence[Watched], interval_s: float) -> None:
        self.interval_s = interval_s
        self.sources: dict[str, Probe[Any, SourceAnswer]] = {}
        self.sinks: dict[str, Probe[Any, Mapping[str, SinkAnswer]]] = {}
        self.brokers: dict[Brokers, Probe[Any, KafkaAnswers]] = {}
        self.connects: dict[str, Probe[httpx.Client, probes.ConnectAnswer]] = {}
        self.keys: dict[str, Probe[Any, Mapping[str, Any]]] = {}
        self.workers: dict[tuple[str, ...], Probe[httpx.Client, list[probes.WorkersAnswer]]] = {}
        self._letters: dict[str, Letters] = {}  # by group, of those that have some
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
                partial(log_reader, brokers),
                partial(self._look_at_kafka, users),
                self.interval_s,
                LogReader.spent_s,
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
                partial(self._look_at_sinks, list(named), Walk()),
                self.interval_s,
            )

    def _look_at_sinks(
        self, groups: Sequence[str], walk: Walk, connection: Connection
    ) -> Mapping[str, SinkAnswer]:
        found = lag_sources.next_offsets(connection, groups)
        letters = {group: self._letters[group] for group in groups if group in self._letters}
        decided = count_decided(connection, letters)
        waits = waiting.look(connection, walk)
        return {group: SinkAnswer(found[group], decided.get(group, 0), waits) for group in groups}

    def _look_at_kafka(self, users: Sequence[Watched], reader: LogReader) -> KafkaAnswers:
        applied = {one.pipeline.name: self._applied(one) for one in users}
        wanted = {}
        for one in users:
            told = applied[one.pipeline.name]
            sinks: dict[str, tuple[Sequence[str], Offsets]] = {}
            for name, topics in one.topics.items():
                answer = told[name]
                sinks[name] = (topics, answer.offsets if answer else {})
                letters = dead_letter_topic(one.pipeline, name)
                sinks[letters] = ([letters], {TopicPartition(letters, 0): NOWHERE})
            wanted[one.pipeline.name] = (sinks, one.spec.heartbeat_topic)
        found = reader.read(wanted)
        return {
            one.pipeline.name: self._answer(
                one, applied[one.pipeline.name], found[one.pipeline.name], reader
            )
            for one in users
        }

    def _answer(
        self,
        one: Watched,
        applied: Mapping[str, SinkAnswer | None],
        kafka: Kafka,
        reader: LogReader,
    ) -> KafkaAnswer:
        """`parked` may be too many for a look, where somebody decided; never too few."""
        parked: dict[str, int | None] = {}
        for name, answer in applied.items():
            topic, group = dead_letter_topic(one.pipeline, name), group_of(one.pipeline, name)
            log = kafka.logs[topic].get(TopicPartition(topic, 0))
            if log is None:
                self._letters.pop(group, None)
                parked[name] = 0
                continue
            letters = Letters(reader.log_id(topic), log.start)
            is_counted = self._letters.get(group) == letters or log.start == log.end
            self._letters[group] = letters
            parked[name] = log.end - log.start - answer.decided if answer and is_counted else None
        offsets = {name: answer.offsets if answer else None for name, answer in applied.items()}
        return KafkaAnswer(offsets, kafka, parked)

    def _applied(self, one: Watched) -> dict[str, SinkAnswer | None]:
        """None where it is not known now: a server that says nothing gives no error either."""
        found: dict[str, SinkAnswer | None] = {}
        for name, sink in one.pipeline.sinks.items():
            probe = self.sinks[sink.dsn]
            seen = None if probe.away else probe.seen
            is_fresh = seen and is_news(seen.answered_at_s, time.time(), self.interval_s)
            group = group_of(one.pipeline, name)
            found[name] = seen.answer[group] if seen and is_fresh else None
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
    found = lag_sources.look_at_sources(connection, [one.spec for one in users])
    return {one.pipeline.name: found[one.spec.slot] for one in users}
