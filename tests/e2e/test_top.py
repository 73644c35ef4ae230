"""`tailrace top` on a running pipeline: each state comes from what really causes it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from connectors import operate
from tailrace.harness.cdc import Cdc

DDL = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'first')"


class Top:
    """`tailrace top --json`, read as it goes; `now` is the newest line."""

    def __init__(self, pipe: Cdc) -> None:
        words = [sys.executable, "-m", "tailrace", "top", "--json", "--config", str(pipe.file)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def until(self, state: str, *, of: str = "pipeline") -> dict[str, Any]:
        """The first look at which this is so; of `source`, or of the one sink."""
        seen: list[str] = []
        for _ in range(60):
            now = self.next()
            verdict = {"pipeline": now, "source": now["source"], "sink": now["sinks"][0]}[of]
            if verdict["verdict"]["state"] == state:
                return now
            seen.append(f"{verdict['verdict']['state']}: {verdict['verdict']['reason']}")
        raise AssertionError(f"{of} was never {state}: {seen[-5:]}")

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, ["public.t"], watch_effects=False)
    made.register()
    return made


@pytest.fixture
def top(live: Cdc) -> Iterator[Top]:
    opened = Top(live)
    yield opened
    opened.close()


def test_states_and_what_causes_them(live: Cdc, top: Top) -> None:
    """One after the other on one pipeline, since each takes seconds to be sure of."""
    top.until("UNKNOWN", of="sink")  # nobody tells how the workers are
    top.until("STOPPED", of="sink")  # and the first row waits
    daemon = live.start_daemon()
    found = top.until("IDLE")
    assert found["sinks"][0]["behind_records"] == 0
    assert found["source"]["budget"]["retained_bytes"] > 0

    worker = found["sinks"][0]["workers"][0]["pid"]
    psutil.Process(worker).suspend()
    live.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(2, 50) i")
    found = top.until("STOPPED", of="sink")
    assert found["sinks"][0]["behind_records"] == 49
    assert found["sinks"][0]["lag_s"] > 0
    psutil.Process(worker).resume()
    top.until("IDLE")

    with live.at() as at:
        operate.pause(live.spec, at)
    assert "resume" in top.until("PAUSED")["source"]["verdict"]["todo"]
    with live.at() as at:
        operate.resume(live.spec, at)
    top.until("IDLE")

    live.sink.sql("ALTER TABLE public.t RENAME TO hidden")
    live.sql("ALTER TABLE t ADD COLUMN more int; UPDATE t SET more = 1")
    found = top.until("BLOCKED", of="sink")
    assert "tailrace schema apply" in found["sinks"][0]["verdict"]["reason"]
    live.sink.sql("ALTER TABLE public.hidden RENAME TO t")
    live.make_tables()
    top.until("IDLE")

    os.kill(daemon.process.pid, signal.SIGTERM)
    top.until("UNKNOWN", of="sink")
