"""`tailrace dashboard` as a process: checks who may reach it, then serves until a signal."""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from tailrace.config import Dashboard
from tailrace.dashboard.access import Access, is_loopback
from tailrace.dashboard.app import make_app
from tailrace.dashboard.desk import Desk
from tailrace.dashboard.hub import Hub
from tailrace.exits import USAGE, Problem
from tailrace.watch.history import History
from tailrace.watch.sampler import Sampler
from tailrace.watch.servers import Watched

CLOSE_WITHIN_S = 3


def serve(
    watched: Sequence[Watched], history: Path, *, read_only: bool, say: Callable[[str], None]
) -> None:
    """
    Until SIGTERM or SIGINT. Raises Problem (TR-DSH-004) where it would be open to others without
    tokens, (TR-DSH-005) where the address is taken, and (TR-DSH-002) for the history.
    """
    settings = watched[0].pipeline.dashboard
    check_open(settings)
    with _listen(settings) as listening:
        kept = History(history)
        token, token_file = _operator_token(settings, history)
        access = Access(token, settings.viewer_token, read_only=read_only)
        hub = Hub(Sampler(watched), kept)
        desk = Desk(hub, access, {one.pipeline.name: one for one in watched})
        app = make_app(desk, token_file)
        hub.start()
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"Dashboard of {len(watched)} pipeline(s): http://{shown}:{port}/")
        if token_file and not read_only:
            say(f"To act, log in with the token in {token_file}.")
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            app,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            timeout_graceful_shutdown=CLOSE_WITHIN_S,
            limit_concurrency=200,
        )
        Server(config, hub).run(sockets=[listening])


class Server(uvicorn.Server):
    """Ends the streams first: they would be waited for."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: object) -> None:
        self._hub.interrupt()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # FrameType


def check_open(settings: Dashboard) -> None:
    """Raises Problem where others could reach it without a token."""
    if is_loopback(settings.host) or (settings.viewer_token and settings.operator_token):
        return
    raise Problem(
        "TR-DSH-004",
        f"dashboard.host is {settings.host}, which others can reach: set dashboard.viewer_token and"
        " dashboard.operator_token (or their _file), or leave it at 127.0.0.1.",
        exit_code=USAGE,
    )


def _listen(settings: Dashboard) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        raise Problem(
            "TR-DSH-005",
            f"{settings.host}:{settings.port} cannot be served ({error.strerror}): set"
            " dashboard.port to another one, or end what uses it.",
        ) from error


def _operator_token(settings: Dashboard, history: Path) -> tuple[str, str | None]:
    """The chosen one, or one that is made anew and written beside the history for its owner."""
    if settings.operator_token:
        return settings.operator_token, None
    token = secrets.token_urlsafe(24)
    file = history.with_suffix(".operator-token")
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(f"{token}\n")
    return token, str(file)
