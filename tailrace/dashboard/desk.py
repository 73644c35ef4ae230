"""What every request needs: the hub, the rules of access, and the pipelines' files."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from fastapi import Depends
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.dashboard.access import Access, Refused, Role, Visitor
from tailrace.dashboard.hub import Hub
from tailrace.dashboard.verification import Verifications
from tailrace.watch.servers import Watched

LARGEST_FORM_BYTES = 64 << 10
FORM_WITHIN_S = 10.0
MOST_STREAMS = 50
MOST_SEARCHES = 8
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Desk(msgspec.Struct):
    """One for the whole application. `watched` is by the pipelines' names."""

    hub: Hub
    access: Access
    watched: dict[str, Watched]
    verifications: Verifications = msgspec.field(default_factory=Verifications)
    streams: int = 0
    searches: threading.BoundedSemaphore = msgspec.field(
        default_factory=lambda: threading.BoundedSemaphore(MOST_SEARCHES)
    )

    @contextmanager
    def search(self) -> Iterator[None]:
        """While topics are read through, which would take up every thread. Raises Refused."""
        if not self.searches.acquire(blocking=False):
            raise Refused(503, f"{MOST_SEARCHES} searches are under way: try again in a moment.")
        try:
            yield
        finally:
            self.searches.release()

    def pipeline(self, name: str) -> Watched:
        """Raises Refused where there is none of that name."""
        if name not in self.watched:
            raise Refused(404, f"There is no pipeline {name:.60} here.")
        return self.watched[name]

    def sink(self, name: str, sink: str) -> Watched:
        """The pipeline, if it has that sink; else raises Refused."""
        watched = self.pipeline(name)
        if sink not in watched.pipeline.sinks:
            raise Refused(404, f"Pipeline {name} has no sink {sink:.60}.")
        return watched


def desk_of(request: Request) -> Desk:
    """That of the application which was asked."""
    desk: Desk = request.app.state.desk
    return desk


def viewer(request: Request) -> Visitor:
    """Who asks, if they may look. Raises Refused."""
    visitor = desk_of(request).access.visitor(request.headers)
    if visitor.role < Role.VIEWER:
        raise Refused(401, "Log in with a token to look at this.")
    return visitor


Viewer = Annotated[Visitor, Depends(viewer)]


async def body(request: Request) -> bytes:
    """What was sent, up to LARGEST_FORM_BYTES and within FORM_WITHIN_S. Raises Refused."""
    found = b""
    try:
        async with asyncio.timeout(FORM_WITHIN_S):
            async for part in request.stream():
                found += part
                if len(found) > LARGEST_FORM_BYTES:
                    raise Refused(413, f"More than {LARGEST_FORM_BYTES >> 10} KiB were sent.")
    except TimeoutError:
        raise Refused(408, f"It was not sent within {FORM_WITHIN_S:.0f} s.") from None
    return found


class Guarded:
    """Every answer carries HEADERS and is kept nowhere; the host is checked before anything."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._access.check_host(Request(scope).headers.get("host", ""))
        except (Refused, ValueError) as refused:
            text = str(refused).encode()
            start = {"type": "http.response.start", "status": 421, "headers": []}
            await send_guarded(start)
            await send({"type": "http.response.body", "body": text})
            return
        await self._app(scope, receive, send_guarded)
