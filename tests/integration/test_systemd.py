"""What the daemon tells systemd, heard on a real socket."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.process import free_ports
from tailrace.notify import Systemd

PIPELINE = """
pipeline: shop
source:
  dsn: postgresql://nobody@127.0.0.1:{port}/none
  tables: [public.t]
  placeholder: unchanged-0123456789
kafka: {{bootstrap: "127.0.0.1:{port}"}}
sinks:
  mirror: {{type: postgres, dsn: "postgresql://nobody@127.0.0.1:{port}/none"}}
"""


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@tailrace-{os.getpid()}"


@contextmanager
def heard(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        systemd.settimeout(60)
        yield systemd


def until(systemd: socket.socket, line: str) -> list[str]:
    lines: list[str] = []
    while line not in lines:
        lines += systemd.recv(4096).decode().split("\n")
    return lines


def test_from_ready_to_stopping(address: str, tmp_path: Path) -> None:
    """No server is there, and the service is ready all the same: that is no reason to kill it."""
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE.format(port=free_ports(1)[0]))
    words = [sys.executable, "-m", "tailrace", "run", "--config", str(file)]
    with heard(address) as systemd:
        environment = os.environ | {"NOTIFY_SOCKET": address}
        with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as daemon:
            assert until(systemd, "READY=1") == ["READY=1"]
            until(systemd, "STATUS=worker 0 of sink mirror does not run")
            until(systemd, "WATCHDOG=1")
            daemon.send_signal(signal.SIGTERM)
            assert until(systemd, "STOPPING=1")[-2:] == ["STOPPING=1", "STATUS=draining"]


def test_who_hangs_lets_the_watchdog_run_out(address: str) -> None:
    with heard(address) as socket_:
        systemd = Systemd({"NOTIFY_SOCKET": address})
        systemd.beat("well", is_live=True)
        systemd.beat("well", is_live=True)
        systemd.beat("it hangs", is_live=False)
        systemd.beat("it hangs", is_live=False)
        systemd.tell("STOPPING=1")
        told = until(socket_, "STOPPING=1")
    assert told == ["WATCHDOG=1", "STATUS=well", "WATCHDOG=1", "STATUS=it hangs", "STOPPING=1"]


def test_nobody_listens() -> None:
    assert not Systemd({}).is_there
    Systemd({}).tell("READY=1")
    Systemd({"NOTIFY_SOCKET": "/nowhere/at/all"}).tell("READY=1")
