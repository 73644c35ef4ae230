"""Every state that a sink can be in, caused for real: what is judged, and what is said to do."""

import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from tailrace.harness import topics
from tailrace.harness.cdc import Cdc
from tests.watched import Watched, watched, with_limit

DDL = """
CREATE TABLE t (id int PRIMARY KEY, note text);
INSERT INTO t SELECT i, 'first' FROM generate_series(1, 200) i
"""
ONE_BY_ONE = {"TAILRACE__SINKS__MIRROR__BATCH__MAX_EVENTS": "1"}


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    return cdc(DDL, ["public.t"], watch_effects=False, proxied=["sink"])


@contextmanager
def writing(pipe: Cdc, every_s: float) -> Iterator[None]:
    """A change each so often, in a transaction of its own."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(every_s):
            pipe.sql("UPDATE t SET note = md5(random()::text) WHERE id = 1")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_sink_from_its_snapshot_on(live: Cdc) -> None:
    """One after the other on one pipeline, since each takes seconds to be sure of."""
    port = with_limit(live)
    live.faults.delay("sink", 100)
    live.register()
    with watched(live) as watch:
        live.start_daemon(**ONE_BY_ONE)
        assert watch.until("SNAPSHOT", "sink").todo == ""
        live.faults.heal()
        watch.until("IDLE")
        watch.steady("IDLE")
        _behind(live, watch)
        _wrong_clock(live, port)
        _rewound(live, watch)
        _stalled(live, watch)


def _behind(live: Cdc, watch: Watched) -> None:
    with writing(live, every_s=0.05):
        watch.until("OK")
        watch.steady("OK")
        live.faults.delay("sink", 90)
        behind = watch.until("BEHIND", "sink")
        assert "does not get less" in behind.reason
    live.faults.heal()
    watch.until("IDLE")


def _stalled(live: Cdc, watch: Watched) -> None:
    live.faults.delay("sink", 1500)
    live.sql("INSERT INTO t SELECT i, 'many' FROM generate_series(1000, 6000) i")
    assert "stage" in watch.until("STALLED", "sink").todo
    live.faults.heal()
    eta_s = watch.until("CATCHING UP", "sink").eta_s
    assert eta_s is not None
    assert watch.now.sinks[0].eta_s == eta_s


def _rewound(live: Cdc, watch: Watched) -> None:
    watch.until("IDLE")
    live.sink.sql("UPDATE tailrace.offsets SET next_offset = next_offset - 40")
    assert "40 records short" in watch.until("REWOUND", "sink").reason
    live.sql("UPDATE t SET note = 'on' WHERE id = 1")  # the worker sees it, and reads again
    watch.until("IDLE")


def test_what_is_parked(live: Cdc) -> None:
    """What cannot be applied does not stop what comes after it, yet somebody should look."""
    with_limit(live)
    live.register()
    live.start_daemon()
    with watched(live) as watch:
        watch.until("IDLE")
        poison = (0, b'{"id":1}', b"no change at all")
        topics.produce(live.brokers, live.topic("public.t"), [poison])
        live.sql("UPDATE t SET note = 'after it' WHERE id = 1")
        verdict = watch.until("DEGRADED", "sink")
        assert "1 record(s) are parked" in verdict.reason
        assert verdict.todo == "`tailrace parked list`"
        watch.until_true(lambda: watch.now.sinks[0].behind_records == 0, "flows on", "sink", 60)
        watch.steady("DEGRADED")


AHEAD_S = -2.0


@contextmanager
def with_a_wrong_clock(port: int, true_wait_s: list[float]) -> Iterator[int]:
    """
    Says what the daemon at `port` says, as if that machine's clock were `AHEAD_S` ahead. Appends
    how long the stage `wait` is in truth, in what it says.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{self.path}") as answer:
                statuses: list[dict[str, Any]] = msgspec.json.decode(answer.read())
                date_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            for status in statuses:
                status["ticked_at_s"] += AHEAD_S
                if status["waterfall"]:
                    true_wait_s.append(status["waterfall"]["stages_s"][2])
                    status["waterfall"]["stages_s"][2] += AHEAD_S  # until polled, on its clock
            self.send_response_only(200)
            self.send_header("Date", formatdate(date_s + AHEAD_S, usegmt=True))
            self.end_headers()
            self.wfile.write(msgspec.json.encode(statuses))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _wrong_clock(live: Cdc, port: int) -> None:
    true_wait_s: list[float] = []
    with (
        with_a_wrong_clock(port, true_wait_s) as wrong,
        watched(live, {"dashboard.workers": f"http://127.0.0.1:{wrong}"}) as watch,
        writing(live, every_s=0.05),
    ):
        watch.until_true(lambda: bool(watch.now.skews), "a wrong clock is shown", "sink", 40)
        (skew,) = watch.now.skews
        assert skew.clock == f"workers at 127.0.0.1:{wrong}"
        assert abs(skew.ahead_s - AHEAD_S) <= skew.within_s + 0.1
        watch.until("OK", "sink")
        watch.steady("OK", of="sink", looks=4)
        way = watch.look().sinks[0].waterfall
        assert way is not None
        told_s = next(stage.seconds for stage in way.stages if stage.name == "wait")
        assert min(abs(told_s - wait_s) for wait_s in true_wait_s[-3:]) <= skew.within_s + 0.1
