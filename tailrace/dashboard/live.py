"""The parts of pages that change with each look, and the streams that send them."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from tailrace.dashboard.access import Refused
from tailrace.dashboard.desk import MOST_STREAMS, Desk, desk_of, viewer
from tailrace.dashboard.show import counts, render
from tailrace.watch import view

KEEP_FRAGMENTS = 64

router = APIRouter(prefix="/live", include_in_schema=False)


def overview(desk: Desk, wanted: Mapping[str, str]) -> str:
    """Worst first; `q` is a part of the name, `state` a word."""
    snapshot = desk.hub.latest
    q, state = wanted.get("q", "").lower(), wanted.get("state", "")
    found = [
        one
        for one in snapshot.pipelines
        if q in one.name and (not state or one.verdict.state.value == state)
    ]
    return render(
        "overview_live.html",
        snapshot=snapshot,
        pipelines=found,
        filtered=bool(q or state),
        wrong=[one for one in snapshot.pipelines if one.verdict.state.is_wrong],
        counts=counts(snapshot.pipelines),
        lags_s=desk.hub.lags_s,
        trouble=desk.hub.trouble,
    )


def pipeline(desk: Desk, wanted: Mapping[str, str]) -> str:
    """State, stages, partitions and workers of one."""
    return _of_one(desk, wanted["name"], "pipeline_live.html")


def source(desk: Desk, wanted: Mapping[str, str]) -> str:
    """Slot, connector and the log that is kept."""
    return _of_one(desk, wanted["name"], "source_live.html", acts_on=acts_on)


def _of_one(desk: Desk, name: str, template: str, **values: Any) -> str:
    desk.pipeline(name)
    found = desk.hub.pipeline(name)
    if found is None:
        return render("waiting.html")
    return render(template, one=found, snapshot=desk.hub.latest, trouble=desk.hub.trouble, **values)


def acts_on(source: view.Source) -> list[tuple[str, str]]:
    """What makes sense now, with what the button says."""
    found = [("restart", "Restart")]
    if any(task.state == "FAILED" for task in source.tasks):
        found.insert(0, ("restart-failed", "Restart failed tasks"))
    if source.connector in ("PAUSED", "STOPPED"):
        found.insert(0, ("resume", "Resume"))
    elif source.connector:
        found.insert(0, ("pause", "Pause"))
    return found


def verification(desk: Desk, wanted: Mapping[str, str]) -> str:
    """Comparisons that were started here."""
    name = wanted["name"]
    sinks = desk.pipeline(name).pipeline.sinks
    runs = [(sink, desk.verifications.newest(name, sink)) for sink in sinks]
    return render("verify_live.html", snapshot=desk.hub.latest, runs=runs)


FRAGMENTS: dict[str, Callable[[Desk, Mapping[str, str]], str]] = {
    "overview": overview,
    "pipeline": pipeline,
    "source": source,
    "verify": verification,
}


class Fragments:
    """Rendered once a snapshot, however many look."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, str]] = {}

    def get(self, desk: Desk, what: str, wanted: Mapping[str, str]) -> str:
        """Raises Refused where there is no such thing."""
        key = (what, tuple(sorted(wanted.items())))
        number = desk.hub.number
        kept = self._kept.get(key)
        if kept is not None and kept[0] == number:
            return kept[1]
        html = FRAGMENTS[what](desk, wanted)
        if len(self._kept) >= KEEP_FRAGMENTS:
            self._kept.clear()
        self._kept[key] = (number, html)
        return html


class Stream(StreamingResponse):
    """Counted for as long as it is open, whoever ends it. Raises Refused where too many are."""

    media_type = "text/event-stream"

    def __init__(self, desk: Desk, events: AsyncIterator[str]) -> None:
        super().__init__(events)
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._desk.streams >= MOST_STREAMS:
            raise Refused(503, f"More than {MOST_STREAMS} pages are open; close some.")
        self._desk.streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._desk.streams -= 1


def event(number: int, html: str) -> str:
    """As the standard of server-sent events has it, where each of CR, LF and CRLF ends a line."""
    lines = html.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    data = "".join(f"data: {line}\n" for line in lines)
    return f"id: {number}\n{data}\n"


@router.get("/{what}", dependencies=[Depends(viewer)])
async def stream(what: str, request: Request) -> StreamingResponse:
    """Server-sent events without a name: htmx swaps each into the page."""
    desk = desk_of(request)
    fragments: Fragments = request.app.state.fragments
    if what not in FRAGMENTS:
        raise Refused(404, f"There is no page {what:.60}.")
    wanted = {name: request.query_params.get(name, "")[:200] for name in ("name", "q", "state")}
    if what != "overview":
        desk.pipeline(wanted["name"])

    async def send() -> AsyncIterator[str]:
        number, until_s = desk.hub.number, time.monotonic() + 3600
        while not desk.hub.is_stopping and time.monotonic() < until_s:
            html = await run_in_threadpool(fragments.get, desk, what, wanted)
            yield event(number, html)
            number = await desk.hub.news(number)

    return Stream(desk, send())
