"""The pages that look: overview, pipeline, source, and who may act."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from tailrace.config import EVENTS, Pipeline, PostgresSink, Sink, SubscriberSink
from tailrace.dashboard.access import COOKIE, SESSION_S, Refused, Visitor
from tailrace.dashboard.desk import Viewer, body, desk_of
from tailrace.dashboard.hub import Hub
from tailrace.dashboard.live import Fragments
from tailrace.dashboard.show import level, render
from tailrace.exits import Problem
from tailrace.watch.history import STEP_S, Grain, Point

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
RANGES: dict[str, tuple[Grain, int]] = {
    "15 min": (1, 15),
    "1 h": (1, 60),
    "6 h": (STEP_S, 360),
    "24 h": (STEP_S, 1440),
}
TABLE_ROWS = 60


def page(request: Request, template: str, visitor: Visitor, **values: Any) -> HTMLResponse:
    """A whole page; `name` and `here` say which of a pipeline's pages it is."""
    desk = desk_of(request)
    access = desk.access
    watched = desk.watched.get(values.get("name", ""))
    query = f"?{request.url.query}" if request.url.query else ""
    html = render(
        template,
        **{"name": "", "here": "", "title": "tailrace"} | values,
        visitor=visitor,
        has_events=watched is not None and EVENTS in watched.pipeline.source.tables,
        has_sagas=watched is not None and _has(watched.pipeline, SubscriberSink),
        is_supervised=watched is not None and _has(watched.pipeline, PostgresSink, SubscriberSink),
        read_only=access.read_only,
        form_token=access.form_token(visitor),
        path=request.url.path + query,
    )
    return HTMLResponse(html, values.get("status", 200))


def _has(pipeline: Pipeline, *kinds: type[Sink]) -> bool:
    return any(isinstance(sink, kinds) for sink in pipeline.sinks.values())


def live_page(
    request: Request, visitor: Visitor, what: str, wanted: dict[str, str], **values: Any
) -> HTMLResponse:
    """One whose main part is sent anew with each look."""
    desk = desk_of(request)
    fragments: Fragments = request.app.state.fragments
    found = desk.hub.pipeline(wanted["name"]) if "name" in wanted else None
    worst = found.verdict.state if found else desk.hub.latest.worst
    asked = "&".join(f"{name}={quote(value)}" for name, value in wanted.items() if value)
    return page(
        request,
        "live.html",
        visitor,
        live=f"/live/{what}?{asked}",
        fragment=Markup(fragments.get(desk, what, wanted)),  # escaped when it was made
        below=f"{what}_below.html",
        icon=level(worst),
        **values,
    )


@router.get("/")
def overview(request: Request, visitor: Viewer, q: str = "", state: str = "") -> HTMLResponse:
    """All pipelines, worst first."""
    wanted = {"q": q[:200], "state": state[:200]}
    return live_page(
        request, visitor, "overview", wanted, title="pipelines", q=q, state_wanted=state
    )


@router.get("/p/{name}")
def pipeline(name: str, request: Request, visitor: Viewer, range: str = "15 min") -> HTMLResponse:
    """State, stages, partitions and charts of one."""
    desk = desk_of(request)
    watched = desk.pipeline(name)
    if range not in RANGES:
        raise Refused(404, f"There is no range {range:.20}; there are {', '.join(RANGES)}.")
    grain_s, minutes = RANGES[range]
    since_s = time.time() - 60 * minutes
    sinks = [
        {"name": sink} | _history(desk.hub, name, sink, grain_s, since_s)
        for sink in watched.pipeline.sinks
    ]
    return live_page(
        request,
        visitor,
        "pipeline",
        {"name": name},
        title=name,
        name=name,
        here="pipeline",
        ranges=list(RANGES),
        range=range,
        grain_s=grain_s,
        minutes=minutes,
        sinks=sinks,
    )


@router.get("/p/{name}/source")
def source(name: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """Slot, connector and the log that is kept."""
    desk = desk_of(request)
    desk.pipeline(name)
    past = _history(desk.hub, name, "", 1, time.time() - 3600)
    return live_page(
        request,
        visitor,
        "source",
        {"name": name},
        title=f"source of {name}",
        name=name,
        here="source",
        past=past,
    )


def _history(hub: Hub, name: str, sink: str, grain_s: Grain, since_s: float) -> dict[str, Any]:
    """The points, or why there are none: the page tells of now, whatever became of the past."""
    try:
        return {"points": _thinned(hub.series(name, sink, grain_s, since_s)), "trouble": ""}
    except Problem as problem:
        return {"points": [], "trouble": problem.sentence}


def _thinned(points: Sequence[Point]) -> list[Point]:
    """About TABLE_ROWS of them, newest first."""
    step = max(1, len(points) // TABLE_ROWS)
    return list(points[::-1][::step])


@router.get("/login")
def login_page(request: Request, to: str = "/") -> HTMLResponse:
    """Asks for a token."""
    return _login(request, to, "")


def _login(request: Request, to: str, error: str, status: int = 200) -> HTMLResponse:
    visitor = desk_of(request).access.visitor(request.headers)
    token_file = request.app.state.token_file
    return page(
        request,
        "login.html",
        visitor,
        title="log in",
        to=to,
        error=error,
        status=status,
        token_file=token_file,
    )


@router.post("/login")
async def login(request: Request) -> Response:
    """Begins a session."""
    access = desk_of(request).access
    form = await fields(request)
    to = form.get("to", "/")
    try:
        session = access.login(form.get("token", ""), form.get("who", ""))
    except Refused as refused:
        return _login(request, to, refused.sentence, refused.status)
    is_ours = to.startswith("/") and not to.startswith(("//", "/\\"))
    answer = RedirectResponse(to if is_ours else "/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, session, max_age=int(SESSION_S), httponly=True, samesite="strict", secure=secure
    )
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Ends the session in this browser."""
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE)
    return answer


async def fields(request: Request) -> dict[str, str]:
    """Of a form that was posted; of several of one name the last. Raises Refused."""
    text = (await body(request)).decode(errors="replace")
    try:
        return {
            key: values[-1] for key, values in parse_qs(text, True, max_num_fields=1000).items()
        }
    except ValueError as error:
        raise Refused(400, f"The form cannot be read: {error}.") from None
