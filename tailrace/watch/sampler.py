"""
One pipeline, looked at every `interval_s`: what its servers answered becomes a view of it.

The probes ask; this puts their newest answers together, keeps the windows that the states rest
on, and remembers since when each state has been.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from connectors.spec import ConnectorSpec
from tailrace import lag_sources
from tailrace.asking import Away, database
from tailrace.config import Pipeline
from tailrace.lag import Kafka, Source
from tailrace.watch import assemble, probes, view
from tailrace.watch.answers import Answers, Memory, Offsets
from tailrace.watch.budget import Limits
from tailrace.watch.skew import Clock, clock_of
from tailrace.watch.states import STALE_INTERVALS
from tailrace.wiring import group_of, topic_of

KafkaAnswer = tuple[Mapping[str, Offsets | None], Kafka]
"""What each sink had applied before, and then Kafka's logs: in this order nothing seems done."""


class PipelineSampler:
    """Starts its probes when it is made; `stop` ends them."""

    def __init__(self, pipeline: Pipeline, spec: ConnectorSpec, interval_s: float = 1.0) -> None:
        self.pipeline, self.spec = pipeline, spec
        self.interval_s = interval_s
        self.topics = {
            name: tuple(topic_of(pipeline, table) for table in sink.tables)
            for name, sink in pipeline.sinks.items()
        }
        self._memory = Memory()
        self._clocks = {name: Clock(name) for name in ("source", "connect")}
        self._heard: dict[str, float] = {}
        self._make_probes()

    def stop(self) -> None:
        for probe in self._all():
            probe.stop()

    def look(self, now_s: float | None = None) -> view.Pipeline:
        """The pipeline as its servers last described it."""
        self._hear_clocks()
        return assemble.pipeline(self._answers(), self._memory, now_s or time.time())

    def _make_probes(self) -> None:
        pipeline, spec, every_s = self.pipeline, self.spec, self.interval_s
        self._source: probes.Probe[Any, Source] = probes.Probe(
            "source",
            lambda: database(pipeline.source.dsn, "source database"),
            lambda connection: lag_sources.look_at_source(connection, spec),
            every_s,
        )
        self._sinks: dict[str, probes.Probe[Any, Offsets]] = {
            name: self._sink_probe(name) for name in pipeline.sinks
        }
        self._kafka: probes.Probe[Any, KafkaAnswer] = probes.Probe(
            "Kafka",
            lambda: lag_sources.kafka_consumer(pipeline.kafka),
            self._look_at_kafka,
            every_s,
        )
        self._connect: probes.Probe[httpx.Client, probes.ConnectAnswer] = probes.Probe(
            "Connect",
            lambda: probes.http(spec.connect_url, "Connect"),
            lambda client: probes.look_at_connector(client, spec.name),
            every_s,
        )
        self._redis: probes.Probe[Any, Mapping[str, Any]] = probes.Probe(
            "Redis", lambda: probes.keys(pipeline.redis.url), probes.look_at_keys, every_s
        )
        urls = pipeline.dashboard.workers or (
            f"http://{pipeline.health.host}:{pipeline.health.port}",
        )
        self._workers: probes.Probe[httpx.Client, list[probes.WorkersAnswer]] = probes.Probe(
            "workers",
            lambda: probes.http("http://worker", "the workers"),
            lambda client: probes.look_at_workers(client, urls),
            every_s,
        )
        for probe in self._all():
            probe.start()

    def _all(self) -> Iterable[probes.Probe[Any, Any]]:
        yield self._source
        yield from self._sinks.values()
        yield from (self._kafka, self._connect, self._redis, self._workers)

    def _sink_probe(self, name: str) -> "probes.Probe[Any, Offsets]":
        dsn, group = self.pipeline.sinks[name].dsn, group_of(self.pipeline, name)
        return probes.Probe(
            f"sink {name}",
            lambda: database(dsn, f"database of sink {name}"),
            lambda connection: lag_sources.next_offsets(connection, group),
            self.interval_s,
        )

    def _look_at_kafka(self, consumer: Any) -> KafkaAnswer:
        applied: dict[str, Offsets | None] = {
            name: probe.seen.answer if probe.seen and self._is_fresh(probe) else None
            for name, probe in self._sinks.items()
        }
        wanted = {name: (self.topics[name], applied[name] or {}) for name in self.topics}
        beats = f"{self.spec.topic_prefix}.{self.spec.control_schema}.heartbeat"
        return applied, lag_sources.read_logs(consumer, wanted, beats)

    def _is_fresh(self, probe: probes.Probe[Any, Any]) -> bool:
        """A server that says nothing at all gives no error either."""
        age_s = time.time() - probe.seen.answered_at_s if probe.seen else float("inf")
        return probe.away is None and age_s <= STALE_INTERVALS * self.interval_s

    def _answers(self) -> Answers:
        shown = self.pipeline.dashboard
        return Answers(
            name=self.pipeline.name,
            slot=self.spec.slot,
            tables=self.pipeline.source.tables,
            topics=self.topics,
            interval_s=self.interval_s,
            heartbeat_interval_ms=self.spec.heartbeat_interval_ms,
            allowed_lag_s=shown.allowed_lag_s,
            budget_limits=Limits(
                shown.budget_warn_s,
                shown.budget_warn_share,
                shown.budget_critical_s,
                shown.budget_critical_share,
            ),
            source=_known(self._source),
            kafka=_known(self._kafka),
            connect=_known(self._connect),
            redis=_known(self._redis),
            workers=_known(self._workers),
            sinks_away={name: probe.away for name, probe in self._sinks.items()},
            sinks_seen_at_s={
                name: probe.seen.answered_at_s if probe.seen else None
                for name, probe in self._sinks.items()
            },
            skews={name: clock.skew for name, clock in self._clocks.items()},
        )

    def _hear_clocks(self) -> None:
        """Each answer counts once."""
        connect, source, workers = self._connect.seen, self._source.seen, self._workers.seen
        if connect and connect.answer.date_s and self._is_new("connect", connect):
            self._hear("connect", connect, connect.answer.date_s)
        if workers and self._is_new("workers", workers):
            for each in workers.answer:
                if each.date_s:
                    self._hear(clock_of(each.where), workers, each.date_s)
        if source and self._is_new("source", source):
            asked_at_s, answered_at_s = source.asked_at_s, source.answered_at_s
            shown_s = (asked_at_s + answered_at_s) / 2 + source.answer.ahead_s
            self._clocks["source"].heard(asked_at_s, answered_at_s, shown_s, 0.0)

    def _hear(self, name: str, seen: probes.Seen[Any], date_s: float) -> None:
        clock = self._clocks.setdefault(name, Clock(name))
        clock.heard(seen.asked_at_s, seen.answered_at_s, date_s, 1.0)

    def _is_new(self, name: str, seen: probes.Seen[Any]) -> bool:
        before, self._heard[name] = self._heard.get(name), seen.asked_at_s
        return before != seen.asked_at_s


def _known(probe: probes.Probe[Any, Any]) -> "probes.Seen[Any] | Away | None":
    """The newest answer, unless the last question had none."""
    return Away(probe.away) if probe.away else probe.seen
