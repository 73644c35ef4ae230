"""A server that is gone or silent is seen within three intervals; nothing is well meanwhile."""

import gc
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import pytest

from devstack import AnyStack
from tailrace.harness.cdc import Cdc
from tailrace.watch.states import STALE_INTERVALS, State
from tests.watched import Watched, watched, with_limit

# A client of Kafka that finds no broker leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

DDL = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'first')"
WRONG = [state.value for state in State if state.is_wrong]
LOOKS = STALE_INTERVALS + 2  # one for the answer that was under way, one to look at it

SEEN_AS = {
    "redis": {"DEGRADED"},
    "connect": {"STOPPED", "UNKNOWN"},  # nobody reads the slot, whatever Connect would say
    "kafka": {"UNKNOWN", "BLOCKED"},
    "postgres-target": {"UNKNOWN", "BLOCKED"},
    "postgres-source": {"UNKNOWN"},
}


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, ["public.t"], watch_effects=False)
    with_limit(made)
    return made


@pytest.fixture
def watch(live: Cdc) -> Iterator[Watched]:
    live.register()
    live.start_daemon()
    with watched(live) as opened:
        opened.until("IDLE")
        yield opened
    gc.collect()


def test_lost_and_silent(stack: AnyStack, live: Cdc, watch: Watched) -> None:
    for name, states in SEEN_AS.items():
        server = stack.part(name)
        server.kill()
        try:
            is_said = partial(_is_among, watch, states)
            watch.until_true(is_said, f"{name} is lost: {states}", "pipeline", LOOKS)
            watch.steady(*WRONG, looks=5)
        finally:
            server.start()
        watch.until("IDLE")
    _silent(stack, watch)
    _workless(live, watch)


def _is_among(watch: Watched, states: set[str]) -> bool:
    return watch.verdict().state in states


def _silent(stack: AnyStack, watch: Watched) -> None:
    """A stopped process keeps its connections, and gives no error that would tell."""
    for name in ("connect", "kafka"):
        pid = stack.part(name).pid
        assert pid is not None
        server = psutil.Process(pid)
        server.suspend()
        try:
            watch.until_wrong(looks=LOOKS)
            watch.until("UNKNOWN", looks=LOOKS)
            watch.steady(*WRONG, looks=5)
        finally:
            server.resume()
        watch.until("IDLE")


def _workless(live: Cdc, watch: Watched) -> None:
    live.running[-1].kill()
    watch.until_wrong("sink", looks=LOOKS)
    watch.until("UNKNOWN", "sink", looks=LOOKS)
    live.sql("INSERT INTO t VALUES (2, 'second')")
    assert "no worker" in watch.until("UNKNOWN", "sink", because="no worker").reason
