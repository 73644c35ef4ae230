"""The pages of sagas: which need somebody, what happened to one, and acts that ask for a reason."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from sagas import seen
from tailrace import offices
from tailrace.asking import Away
from tailrace.config import Pipeline
from tailrace.dashboard.access import Role
from tailrace.dashboard.acts import allowed, confirm, one_of
from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.dashboard.pages import fields, page
from tailrace.exits import Problem

MOST_SAGAS = 200
MOST_LINES = 500

EFFECTS = {
    "resume": (
        "Resume the saga",
        "What is not answered is sent again. Mend what it was parked for first.",
    ),
    "compensate": (
        "Undo the saga",
        "What was done is undone, the last step first. If its pivot is under way, the pivot's own"
        " service decides: then it may still succeed.",
    ),
}

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/p/{name}/sagas")
def sagas(
    name: str, request: Request, visitor: Viewer, saga: str = "", status: str = ""
) -> HTMLResponse:
    """What was said in a saga is shown to who may act alone: it may be private."""
    pipeline = desk_of(request).pipeline(name).pipeline
    values: dict[str, Any] = {"counts": [], "listed": [], "timeline": None, "trouble": ""}
    with desk_of(request).search():
        try:
            values |= _found(pipeline, saga.strip()[:60], status[:40])
        except (Away, Problem) as error:
            values["trouble"] = error.sentence
    return page(
        request,
        "sagas.html",
        visitor,
        title=f"sagas, {name}",
        name=name,
        here="sagas",
        saga=saga,
        status_wanted=status,
        most=MOST_LINES,
        may_see=visitor.role >= Role.OPERATOR,
        **values,
    )


def _found(pipeline: Pipeline, saga: str, status: str) -> dict[str, Any]:
    """Raises Away and Problem."""
    with offices.looked_at(pipeline) as tx:
        found: dict[str, Any] = {
            "counts": seen.counted(tx),
            "listed": seen.listed(
                tx, status=status or None, also_ended=bool(status), limit=MOST_SAGAS
            ),
        }
        if saga:
            found["timeline"] = seen.timeline(tx, offices.saga_id(saga))
            found["trouble"] = "" if found["timeline"] else "There is no such saga."
    return found


@router.get("/p/{name}/sagas/{saga}/{act}")
def ask(name: str, saga: str, act: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """What it would do."""
    desk_of(request).pipeline(name)
    return _confirm(request, visitor, name, saga, act)


def _confirm(
    request: Request, visitor: Viewer, name: str, saga: str, act: str, error: str = ""
) -> HTMLResponse:
    heading, effect = one_of(EFFECTS, act)
    id_ = offices.saga_id(saga)
    return confirm(
        request,
        visitor,
        400 if error else 200,
        name=name,
        here="sagas",
        heading=f"{heading} {id_}",
        effect=effect,
        command=f'tailrace supervise {act} {id_} --reason "…"',
        back=f"/p/{name}/sagas?saga={id_}",
        reason_needed=True,
        error=error,
    )


@router.post("/p/{name}/sagas/{saga}/{act}")
async def act_on(name: str, saga: str, act: str, request: Request, visitor: Viewer) -> Response:
    """Does it, and goes back; what does not fit the saga's state is said where it was asked."""
    form = await fields(request)
    actor = allowed(request, visitor, form.get("form_token", ""))
    pipeline = desk_of(request).pipeline(name).pipeline
    one_of(EFFECTS, act)
    id_, reason = offices.saga_id(saga), form.get("reason", "")[:200]
    try:
        await run_in_threadpool(offices.act, pipeline, act, id_, actor.name, reason)
    except Problem as problem:
        return _confirm(request, visitor, name, saga, act, problem.sentence)
    return RedirectResponse(f"/p/{name}/sagas?saga={id_}", 303)
