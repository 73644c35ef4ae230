"""
Processes that outlive the program that started them: launched once, found again by pid file.

A pid counts as ours only while the command line behind it still names our data folder: a pid file
that outlived its process, and whose pid some other program has got since, is not mistaken for it.
"""

import fcntl
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

# Below every usual ephemeral range: a stopped server's port is not taken by an outgoing
# connection, and a client that retries on loopback cannot connect to itself.
_PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """`count` different loopback TCP ports that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        if port_is_free(port):
            found.append(port)
    return found


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def launch(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """
    Start `command` in a session of its own, its output appended to `log`; returns its pid.

    A shell in between makes it nobody's child, so that it neither dies with us nor lingers as
    our zombie.
    """
    with log.open("ab") as output:
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
            check=True,
        )
    return int(shell.stdout)


def find(pid: int, marker: str) -> psutil.Process | None:
    """The living process `pid`, if its command line contains `marker`; else None."""
    try:
        process = psutil.Process(pid)
        # The line is empty for the moment in which one program becomes another (exec).
        wait_until(lambda: bool(process.cmdline()) or not _lives(process), timeout_s=1)
        return process if any(marker in word for word in process.cmdline()) else None
    except psutil.Error:
        return None


def end(process: psutil.Process, signal_number: int, timeout_s: float) -> bool:
    """Send the signal to `process` and wait until it and its children are gone; False if not."""
    try:
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        return True
    return _gone(family, timeout_s)


def kill(process: psutil.Process) -> None:
    """SIGKILL for `process` and all its children; returns when they are gone."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    _gone(family, timeout_s=10)


def wait_until(fact: Callable[[], bool], timeout_s: float, every_s: float = 0.02) -> bool:
    """Wait until `fact` is true, looking `every_s`; False if it is not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def _gone(family: list[psutil.Process], timeout_s: float) -> bool:
    return wait_until(lambda: not any(map(_lives, family)), timeout_s)


def _lives(process: psutil.Process) -> bool:
    """A zombie, which only waits for its parent to take note, no longer lives."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def tail(log: Path, lines: int) -> str:
    """The last `lines` lines of a log file; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - lines * 400))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; tells `on_wait` if it must wait. Freed when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
