"""
A snapshot -> Prometheus' families. Pure.

What is not known is absent, never 0. Labels are names out of the pipeline's file and of this code,
so that the number of series does not grow with what flows.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tailrace.watch.metric_list import OF_THE_PIPELINE
from tailrace.watch.states import State
from tailrace.watch.view import Pipeline, Sink, Snapshot

Rows = Iterator[tuple[tuple[str, ...], float | None]]
"""Labels after the pipeline's name, and the value; None: not known."""


def families(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    """Each of OF_THE_PIPELINE, with the series of every pipeline."""
    for metric in OF_THE_PIPELINE:
        family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for pipeline in snapshot.pipelines:
            for labels, value in _READS[metric.name](pipeline, snapshot):
                if value is not None:
                    family.add_metric((pipeline.name, *labels), value)
        yield family


def _one_hot(state: State, *labels: str) -> Rows:
    for each in State:
        yield (*labels, each.value), float(each is state)


def _sink_states(pipeline: Pipeline, _: Snapshot) -> Rows:
    for sink in pipeline.sinks:
        yield from _one_hot(sink.verdict.state, sink.name)


def _of_sinks(read: Callable[[Sink], float | None]) -> Callable[[Pipeline, Snapshot], Rows]:
    def rows(pipeline: Pipeline, _: Snapshot) -> Rows:
        for sink in pipeline.sinks:
            yield (sink.name,), read(sink)

    return rows


def _of_pipeline(read: Callable[[Pipeline], float | None]) -> Callable[[Pipeline, Snapshot], Rows]:
    return lambda pipeline, _: iter([((), read(pipeline))])


def _stages(pipeline: Pipeline, _: Snapshot) -> Rows:
    for sink in pipeline.sinks:
        for stage in sink.waterfall.stages if sink.waterfall else ():
            yield (sink.name, stage.name), stage.seconds


def _skews(pipeline: Pipeline, _: Snapshot) -> Rows:
    for skew in pipeline.skews:
        yield (skew.clock,), skew.ahead_s


def _servers(pipeline: Pipeline, snapshot: Snapshot) -> Rows:
    for server in pipeline.servers:
        yield (server.name,), server.answers(snapshot)


_READS: Mapping[str, Callable[[Pipeline, Snapshot], Rows]] = {
    "tailrace_pipeline_state": lambda pipeline, _: _one_hot(pipeline.verdict.state),
    "tailrace_source_state": lambda pipeline, _: _one_hot(pipeline.source.verdict.state),
    "tailrace_sink_state": _sink_states,
    "tailrace_lag_seconds": _of_sinks(lambda sink: sink.lag_s),
    "tailrace_lag_records": _of_sinks(lambda sink: sink.behind_records),
    "tailrace_stage_seconds": _stages,
    "tailrace_parked_open": _of_sinks(lambda sink: sink.parked),
    "tailrace_sagas_parked": _of_sinks(lambda sink: sink.waiting.parked),
    "tailrace_sagas_overdue": _of_sinks(lambda sink: sink.waiting.overdue),
    "tailrace_proposals_waiting": _of_sinks(lambda sink: sink.waiting.proposals),
    "tailrace_log_breaks": _of_sinks(lambda sink: sink.waiting.breaks),
    "tailrace_heartbeat_age_seconds": _of_pipeline(lambda p: p.source.heartbeat_in_kafka_age_s),
    "tailrace_slot_retained_bytes": _of_pipeline(lambda p: p.source.budget.retained_bytes),
    "tailrace_slot_left_bytes": _of_pipeline(lambda p: p.source.budget.left_bytes),
    "tailrace_slot_left_seconds": _of_pipeline(lambda p: p.source.budget.left_s),
    "tailrace_clock_skew_seconds": _skews,
    "tailrace_server_up": _servers,
}


class _Families(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return families(self._snapshot)


def exposition(snapshot: Snapshot) -> bytes:
    """As Prometheus reads it, in the text format."""
    registry = CollectorRegistry()
    registry.register(_Families(snapshot))
    return generate_latest(registry)
