"""The application: routes, and what a refusal or a problem looks like."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from tailrace.asking import Away
from tailrace.dashboard import acts, api, events, live, pages, sagas, supervisor, work, work_api
from tailrace.dashboard.access import Refused
from tailrace.dashboard.desk import Desk, Guarded
from tailrace.exits import TRY_AGAIN, USAGE, Problem

STATIC = Path(__file__).with_name("static")
ROUTERS = (
    *(pages.router, live.router, acts.router, work.router, events.router),
    *(sagas.router, supervisor.router),
    *(api.router, work_api.router, api.metrics_router),
)


def make_app(desk: Desk, token_file: str | None = None) -> ASGIApp:
    """`token_file`: where the operator's token is, if nobody chose one."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        desk.hub.stop()

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    app.state.fragments = live.Fragments()
    app.state.token_file = token_file
    app.openapi = lambda: api.describe(app)  # type: ignore[method-assign]  # as FastAPI says
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_api_route("/livez", _livez, include_in_schema=False)
    for kind in (Refused, Problem, Away, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _refuse)
    return Guarded(app, desk.access)  # around the answers to what nobody expected, too


def _livez() -> Response:
    return PlainTextResponse("ok\n")


def _said(error: Exception) -> tuple[int, api.Said]:
    match error:
        case Refused():
            return error.status, api.Said(error.sentence)
        case Problem():
            status = {TRY_AGAIN: 503, USAGE: 400}.get(error.exit_code, 409)
            return status, api.Said(error.sentence, error.code)
        case Away():
            return 503, api.Said(error.sentence)
        case RequestValidationError():
            first: dict[str, Any] = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            return 422, api.Said(f"{where}: {first['msg']}.")
        case HTTPException():
            return error.status_code, api.Said(f"{error.detail}.")
    return 500, api.Said(f"The dashboard failed at this ({type(error).__name__}); see its log.")


async def _refuse(request: Request, error: Exception) -> Response:
    """JSON for the API, a page for people; who may not look is sent to log in."""
    status, said = _said(error)
    if request.url.path.startswith((api.PREFIX, "/live", "/metrics")):
        return api.Json(said, status)
    if status == 401:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?to={quote(asked)}", 303)
    visitor = request.app.state.desk.access.visitor(request.headers)
    sentence = f"{said.error}{f' [{said.code}]' if said.code else ''}"
    return pages.page(
        request,
        "said.html",
        visitor,
        title=f"{status}",
        heading="That did not work",
        sentence=sentence,
        is_error=True,
        back="/",
        status=status,
    )
