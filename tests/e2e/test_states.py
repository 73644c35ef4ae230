"""Every state that a sink can be in, caused for real: what is judged, and what is said to do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    made = cdc(DDL, ["public.t"], watch_effects=False, proxied=["sink"])
    with_limit(made)
    return made


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
    live.faults.delay("sink", 100)
    live.register()
    with watched(live) as watch:
        live.start_daemon(**ONE_BY_ONE)
        assert watch.until("SNAPSHOT", "sink").todo == ""
        live.faults.heal()
        watch.until("IDLE")
        watch.steady("IDLE")
        _late(live, watch)
        _rewound(live, watch)
        _parked(live, watch)


def _late(live: Cdc, watch: Watched) -> None:
    with writing(live, every_s=0.05):
        watch.until("OK")
        watch.steady("OK")
        live.faults.delay("sink", 90)
        behind = watch.until("BEHIND", "sink")
        assert "does not get less" in behind.reason
    live.faults.heal()
    watch.until("IDLE")
    live.faults.delay("sink", 1500)
    live.sql("INSERT INTO t SELECT i, 'many' FROM generate_series(1000, 6000) i")
    assert "stage" in watch.until("STALLED", "sink").todo
    live.faults.heal()
    eta_s = watch.until("CATCHING UP", "sink").eta_s
    assert eta_s is not None
    assert watch.now.sinks[0].eta_s == eta_s
    live.running[-1].stop()
    live.start_daemon()  # with batches of the usual size
    watch.until("IDLE")
    assert watch.now.sinks[0].lag_s == 0.0


def _rewound(live: Cdc, watch: Watched) -> None:
    live.sink.sql("UPDATE tailrace.offsets SET next_offset = next_offset - 40")
    assert "40 records short" in watch.until("REWOUND", "sink").reason
    live.sql("UPDATE t SET note = 'on' WHERE id = 1")  # the worker sees it, and reads again
    watch.until("IDLE")


def _parked(live: Cdc, watch: Watched) -> None:
    """What cannot be applied does not stop what comes after it, yet somebody should look."""
    topics.produce(live.brokers, live.topic("public.t"), [(0, b'{"id":1}', b"no change at all")])
    verdict = watch.until("DEGRADED", "sink")
    assert "1 " in verdict.reason
    assert verdict.todo == "`tailrace parked list`"
    watch.steady("DEGRADED")
