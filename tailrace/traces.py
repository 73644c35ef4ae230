"""
A span for each batch that became durable, sent as OTLP over HTTP.

Off, and not even imported, unless `log.traces` or OTEL_EXPORTER_OTLP_ENDPOINT says where to.
"""

import time
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from consumer.facts import Applied, Fact

PATH = "v1/traces"
SEND_WITHIN_S = 3.0  # a collector that is away must not hold up a stop


def exporter(url: str | None) -> SpanExporter:
    """To the collector at this address; None: as the variables of OpenTelemetry say."""
    address = f"{url.rstrip('/')}/{PATH}" if url else None
    return OTLPSpanExporter(address, timeout=SEND_WITHIN_S)


class Traces:
    """An observer of one worker's facts. Spans wait in memory; too many are dropped."""

    def __init__(
        self,
        pipeline: str,
        sink: str,
        worker: int,
        out: SpanExporter,
        processor: Callable[[SpanExporter], SpanProcessor] = BatchSpanProcessor,
    ) -> None:
        resource = Resource.create({"service.name": "tailrace", "tailrace.pipeline": pipeline})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor(out))
        self._tracer = self._provider.get_tracer("tailrace")
        self._of: Mapping[str, AttributeValue] = {"tailrace.sink": sink, "tailrace.worker": worker}

    def __call__(self, fact: Fact) -> None:
        if not isinstance(fact, Applied):
            return
        ahead_s = time.time() - time.monotonic()
        span = self._tracer.start_span(
            "apply batch",
            kind=SpanKind.CONSUMER,
            attributes={**self._of, **_attributes(fact)},
            start_time=_ns(fact.polled_at_s + ahead_s),
        )
        span.end(_ns(fact.acked_at_s + ahead_s))

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


def _attributes(fact: Applied) -> Mapping[str, AttributeValue]:
    counts, outcome = fact.counts, fact.outcome
    return {
        "tailrace.records": counts.records,
        "tailrace.written": outcome.written,
        "tailrace.superseded": outcome.superseded,
        "tailrace.stale": outcome.stale,
        "tailrace.duplicate": counts.duplicates,
        "tailrace.filtered": counts.filtered,
        "tailrace.parked": counts.parked,
        "tailrace.partitions": [f"{at.topic}[{at.partition}]" for at in sorted(fact.batch.spans)],
        "tailrace.stage.sift_s": fact.planned_at_s - fact.polled_at_s,
        "tailrace.stage.apply_s": fact.applied_at_s - fact.planned_at_s,
        "tailrace.stage.book_s": fact.acked_at_s - fact.applied_at_s,
    }


def _ns(time_s: float) -> int:
    return int(time_s * 1e9)
