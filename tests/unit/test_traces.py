"""A span for each batch; nothing at all when nobody asks for one."""

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumer.event import Outcome
from consumer.facts import Applied, Counts, Polled
from tailrace.config import Log as LogSettings
from tailrace.process import Worker
from tailrace.traces import Traces
from tests.builders import Log, key, value
from tests.unit.test_doctor import PIPELINE


def applied() -> Applied:
    log = Log()
    batch = log.batch(log.record(key(id=1), value("c", after={"id": 1})))
    return Applied(batch, Outcome(1, 0, 0), Counts(3, 1, 1, 0), 10.0, 10.25, 11.0, 11.125)


def test_a_batch_is_a_span() -> None:
    out = InMemorySpanExporter()
    traces = Traces("shop", "mirror", 2, out, SimpleSpanProcessor)
    traces(Polled(3))
    traces(applied())
    (span,) = out.get_finished_spans()
    assert span.name == "apply batch"
    assert span.resource.attributes["service.name"] == "tailrace"
    assert span.resource.attributes["tailrace.pipeline"] == "shop"
    assert span.start_time is not None
    assert span.end_time is not None
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(1.125, abs=1e-3)
    assert span.links == ()
    told = {name.removeprefix("tailrace."): each for name, each in (span.attributes or {}).items()}
    assert told == {
        "sink": "mirror",
        "worker": 2,
        "records": 3,
        "written": 1,
        "superseded": 0,
        "stale": 0,
        "duplicate": 1,
        "filtered": 1,
        "parked": 0,
        "partitions": ("shop.public.t[0]",),
        "stage.sift_s": 0.25,
        "stage.apply_s": 0.75,
        "stage.book_s": 0.125,
    }
    traces.close()


def test_nothing_of_it_is_imported_when_off() -> None:
    program = (
        "import sys, tailrace.process, tailrace.wiring; print('tailrace.traces' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


@pytest.mark.parametrize("how", ["settings", "environment"])
def test_on_when_asked_for(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    pipeline = PIPELINE
    assert listeners(Worker(pipeline, "mirror")) == 2
    if how == "settings":
        pipeline = replace(pipeline, log=LogSettings(traces="http://127.0.0.1:1"))
    else:
        monkeypatch.setitem(os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert listeners(Worker(pipeline, "mirror")) == 3


def listeners(worker: Worker) -> int:
    """How many hear the facts while it runs."""
    with worker._traced():
        return len(worker._listeners)
