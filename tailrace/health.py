"""
/livez, /readyz, /metrics, /status.json and /settled.json, from a thread of the standard library's
server.

Live: the loop comes by; a sink that is down does not make it dead. Ready: every worker runs, has
its partitions, and is not held up.
"""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consumer.metrics import BOUNDS_S, Histogram, Status
from consumer.settled import Settled

THERE_ARE = b"there are /livez, /readyz, /metrics, /status.json and /settled.json\n"
STALE_AFTER_S = 10.0  # a loop that was not seen for so long hangs

Statuses = Callable[[], list[Status]]
FindSettled = Callable[[str, int, int], list[Settled]]
"""Topic, partition, offset -> the batches that held the record."""


def not_live(statuses: list[Status], now_s: float) -> str | None:
    """Why the process should be ended and started anew; None: it should not."""
    for status in statuses:
        if status.pid and status.ticked_at_s and now_s - status.ticked_at_s > 6 * STALE_AFTER_S:
            return f"{_name(status)} has not come by for {now_s - status.ticked_at_s:.0f} s"
    return None


def not_ready(statuses: list[Status], now_s: float) -> str | None:
    """What keeps changes from being applied now, worst first; None: nothing does."""
    for status in statuses:
        if not status.pid:
            return f"{_name(status)} does not run"
    for status in statuses:
        if status.held_because:
            return f"{_name(status)} waits: {status.held_because}"
        if not status.is_assigned:
            return f"{_name(status)} has no partitions yet"
        if now_s - status.ticked_at_s > STALE_AFTER_S:
            return f"{_name(status)} has not come by for {now_s - status.ticked_at_s:.0f} s"
    return None


def _name(status: Status) -> str:
    return f"worker {status.worker} of sink {status.sink}"


class Exposition(Collector):
    """The statuses as Prometheus metrics; docs/metrics.md has the list."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        labels = ["sink", "worker"]
        received = CounterMetricFamily(
            "tailrace_records_received", "Records polled and settled", labels=labels
        )
        ended = CounterMetricFamily(
            "tailrace_records_ended", "How each of them ended", labels=[*labels, "as"]
        )
        batches = CounterMetricFamily("tailrace_batches", "Batches applied", labels=labels)
        held = CounterMetricFamily("tailrace_held", "Times a batch had to wait", labels=labels)
        redis = CounterMetricFamily(
            "tailrace_redis_failures", "Times the idempotency keys were away", labels=labels
        )
        up = GaugeMetricFamily("tailrace_worker_up", "1 while its process runs", labels=labels)
        blocked = GaugeMetricFamily("tailrace_blocked", "1 while a batch waits", labels=labels)
        partitions = GaugeMetricFamily("tailrace_partitions", "Partitions owned", labels=labels)
        apply = HistogramMetricFamily(
            "tailrace_apply_seconds", "Polled to durable in the sink", labels=labels
        )
        commit = HistogramMetricFamily(
            "tailrace_commit_to_applied_seconds",
            "Source commit to durable in the sink, the change in the middle of each batch",
            labels=labels,
        )
        for status in self._statuses():
            of = [status.sink, str(status.worker)]
            received.add_metric(of, status.received)
            for name, count in status.ended.items():
                ended.add_metric([*of, name], count)
            batches.add_metric(of, status.batches)
            held.add_metric(of, status.held)
            redis.add_metric(of, status.redis_failures)
            up.add_metric(of, float(status.pid != 0))
            blocked.add_metric(of, float(status.held_because is not None))
            partitions.add_metric(of, len(status.places))
            _add_histogram(apply, of, status.apply)
            _add_histogram(commit, of, status.commit_to_applied)
        yield from (received, ended, batches, held, redis, up, blocked, partitions, apply, commit)


def _add_histogram(family: HistogramMetricFamily, of: list[str], histogram: Histogram) -> None:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family.add_metric(of, buckets, histogram.sum_s)


class Health:
    """Serves until the process ends; `url` says where. Raises OSError if the port is taken."""

    def __init__(
        self,
        host: str,
        port: int,
        statuses: Statuses,
        settled: FindSettled,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._statuses, self._settled, self._is_stopping = statuses, settled, is_stopping
        self._registry = CollectorRegistry()
        self._registry.register(Exposition(statuses))
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, kind, body = answer(self.path)
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent: probes come every few seconds."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        now_s = time.time()
        route, _, query = path.partition("?")
        if route == "/livez":
            return _verdict(not_live(self._statuses(), now_s))
        if route == "/readyz":
            stopping = "draining" if self._is_stopping() else None
            return _verdict(stopping or not_ready(self._statuses(), now_s))
        if route == "/metrics":
            text = generate_latest(self._registry)
            return 200, "text/plain; version=0.0.4; charset=utf-8", text
        if route == "/status.json":
            return 200, "application/json", msgspec.json.encode(self._statuses())
        if route == "/settled.json":
            return _of_record(query, self._settled)
        return 404, "text/plain", THERE_ARE

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _of_record(query: str, settled: FindSettled) -> tuple[int, str, bytes]:
    try:
        said = parse_qs(query)
        (topic,), (partition,), (offset,) = said["topic"], said["partition"], said["offset"]
        found = settled(topic, int(partition), int(offset))
    except (KeyError, ValueError):
        return 400, "text/plain", b"/settled.json?topic=TEXT&partition=NUMBER&offset=NUMBER\n"
    return 200, "application/json", msgspec.json.encode(found)


def _verdict(trouble: str | None) -> tuple[int, str, bytes]:
    return (503 if trouble else 200), "text/plain", f"{trouble or 'ok'}\n".encode()
