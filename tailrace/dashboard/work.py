"""Pages over what is asked for when somebody looks: parked work, traces, comparisons, actions."""

import re
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from tailrace.actions import log_of
from tailrace.asking import Away
from tailrace.dashboard.acts import LARGEST_NUMBER
from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.dashboard.pages import live_page, page
from tailrace.exits import Problem
from tailrace.parked import letters
from tailrace.trace.find import find
from tailrace.trace.lines import not_found
from tailrace.trace.view import Trace
from tailrace.watch.servers import Watched

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
BACK = re.compile(r"(\d{1,6})(m|h|d)")
UNIT_S = {"m": 60, "h": 3600, "d": 86400}


@router.get("/p/{name}/parked")
def parked(
    name: str, request: Request, visitor: Viewer, sink: str = "", after: int = -1
) -> HTMLResponse:
    """What each sink refused, by kind, and the letters of one."""
    watched = desk_of(request).pipeline(name)
    sinks = list(watched.pipeline.sinks)
    chosen = sink or sinks[0]
    desk_of(request).sink(name, chosen)
    values: dict[str, Any] = {"groups": [], "page": None, "trouble": ""}
    try:
        with desk_of(request).search():
            values["groups"] = letters.groups(watched.pipeline, chosen)
            values["page"] = letters.read(
                watched.pipeline, chosen, after=min(after, LARGEST_NUMBER)
            )
    except (Away, Problem) as error:
        values["trouble"] = error.sentence
    return page(
        request,
        "parked.html",
        visitor,
        title=f"parked, {name}",
        name=name,
        here="parked",
        sinks=sinks,
        chosen=chosen,
        **values,
    )


@router.get("/p/{name}/parked/{sink}/{number}")
def letter(name: str, sink: str, number: int, request: Request, visitor: Viewer) -> HTMLResponse:
    """One letter: why, where from, before and after."""
    watched = desk_of(request).sink(name, sink)
    with desk_of(request).search():
        found = letters.one(watched.pipeline, sink, number)
    return page(
        request,
        "letter.html",
        visitor,
        title=f"letter {number}",
        name=name,
        here="parked",
        sink=sink,
        letter=found,
    )


@router.get("/p/{name}/trace")
def trace(
    name: str,
    request: Request,
    visitor: Viewer,
    what: str = "",
    table: str = "",
    since: str = "",
) -> HTMLResponse:
    """The life of one change."""
    watched = desk_of(request).pipeline(name)
    found, trouble = None, ""
    if what:
        try:
            with desk_of(request).search():
                found = traced(watched, what, table, since)
            trouble = "" if found.changes else not_found(found)
        except (Away, Problem) as error:
            trouble = error.sentence
    return page(
        request,
        "trace.html",
        visitor,
        title=f"trace, {name}",
        name=name,
        here="trace",
        tables=watched.pipeline.rows,
        what=what,
        table=table,
        since=since,
        found=found,
        trouble=trouble,
    )


def traced(watched: Watched, what: str, table: str, since: str) -> Trace:
    """Without the rows' values, which may be private. Raises Problem and Away."""
    since_s = None
    if since:
        match = BACK.fullmatch(since.strip())
        if match is None:
            raise Problem("TR-LAG-001", f"How far back must be like 30m or 2h, not {since:.20}.")
        since_s = time.time() - int(match[1]) * UNIT_S[match[2]]
    return find(watched.pipeline, watched.spec, what[:4096], table=table or None, since_s=since_s)


@router.get("/p/{name}/verify")
def verify(name: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """Comparisons that were started here."""
    watched = desk_of(request).pipeline(name)
    return live_page(
        request,
        visitor,
        "verify",
        {"name": name},
        title=f"verify, {name}",
        name=name,
        here="verify",
        sinks=list(watched.pipeline.sinks),
    )


@router.get("/p/{name}/actions")
def actions(name: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """What operators did, the newest first."""
    watched = desk_of(request).pipeline(name)
    entries, trouble = [], ""
    try:
        entries = log_of(watched.pipeline, watched.spec).recent(200)
    except Problem as problem:
        trouble = problem.sentence
    return page(
        request,
        "actions.html",
        visitor,
        title=f"actions, {name}",
        name=name,
        here="actions",
        entries=entries,
        trouble=trouble,
    )
