"""`tailrace run` as a daemon: workers come back, health tells the truth, a stop drains."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tailrace.harness.cdc import Cdc
from tailrace.harness.running import Running
from tailrace.harness.waits import eventually

DDL = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'first')"


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, ["public.t"])
    made.register()
    return made


class Daemon:
    def __init__(self, running: Running) -> None:
        self.running = running
        found = eventually(lambda: re.search(r"livez=(\S+)/livez", running.text()))
        self.url = found[1]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status.json")[1])[0]
        return found


@pytest.fixture
def daemon(live: Cdc) -> Daemon:
    daemon = Daemon(live.start_daemon())
    eventually(daemon.is_ready, what=daemon.running.text())
    return daemon


def test_a_worker_that_dies_comes_back(live: Cdc, daemon: Daemon) -> None:
    live.wait_converged()
    before = daemon.status()["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: daemon.status()["pid"] not in (0, before))
    live.sql("INSERT INTO t VALUES (2, 'after the kill')")
    live.wait_converged()
    eventually(daemon.is_ready)
    assert daemon.running.stop() == 0
    assert "worker ended" in daemon.running.text()


def test_health_and_metrics(live: Cdc, daemon: Daemon) -> None:
    live.wait_converged()
    eventually(lambda: daemon.status()["received"] == 1)
    assert daemon.get("/livez") == (200, "ok\n")
    assert daemon.get("/nowhere")[0] == 404
    text = daemon.get("/metrics")[1]
    assert 'tailrace_records_ended_total{as="written",sink="mirror",worker="0"} 1.0' in text
    live.sink.sql("ALTER TABLE public.t RENAME TO hidden")
    live.sql("ALTER TABLE t ADD COLUMN more int; UPDATE t SET more = 1")
    eventually(lambda: "waits: " in daemon.get("/readyz")[1])
    code, why = daemon.get("/readyz")
    assert code == 503
    assert "tailrace schema apply" in why
    assert daemon.get("/livez")[0] == 200  # a sink that cannot take it does not make it dead
    live.sink.sql("ALTER TABLE public.hidden RENAME TO t")
    live.make_tables()
    eventually(daemon.is_ready)
    live.wait_converged()


def test_a_stop_drains_and_leaves_nothing(live: Cdc, daemon: Daemon) -> None:
    live.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(2, 5000) i")
    worker = psutil.Process(daemon.status()["pid"])
    assert daemon.running.stop() == 0, daemon.running.text()
    assert not worker.is_running()
    assert "drained" in daemon.running.text()
    again = live.start_daemon()
    live.wait_converged()
    assert again.stop() == 0


def test_workers_do_not_outlive_a_killed_daemon(live: Cdc, daemon: Daemon) -> None:
    worker = psutil.Process(daemon.status()["pid"])
    daemon.running.kill()
    eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_a_second_signal_does_not_wait(live: Cdc, daemon: Daemon) -> None:
    worker = psutil.Process(daemon.status()["pid"])
    worker.suspend()  # so that it cannot drain
    process = daemon.running.process
    process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in daemon.get("/readyz")[1])
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 1
    assert not worker.is_running()
