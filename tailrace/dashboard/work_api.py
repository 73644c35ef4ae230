"""The JSON API of what is asked for when somebody looks, and of what changes something."""

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from tailrace.actions import Actions, Actor, log_of
from tailrace.dashboard import acts, api, work
from tailrace.dashboard.access import Refused, Visitor
from tailrace.dashboard.desk import Viewer, body, desk_of
from tailrace.parked import decide
from tailrace.parked.letter import Group, Letter
from tailrace.parked.letters import Page, groups, one, read
from tailrace.trace.view import Trace

router = APIRouter(prefix=api.PREFIX)
Json, gives = api.Json, api.gives
Asked = TypeVar("Asked")


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an act is done, for the log."""

    reason: str = ""


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters: their numbers, or all whose kind has `kind` in it (empty: all)."""

    numbers: list[int] = []
    kind: str | None = None
    reason: str = ""
    dry_run: bool = True


class Discard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters, and why."""

    numbers: list[int]
    reason: str


class Done(msgspec.Struct, frozen=True):
    """What was done."""

    done: str


api.SCHEMAS += [Page, Group, Letter, Trace, Actions, decide.Redriven, decide.Discarded]
api.SCHEMAS += [Reason, Redrive, Discard, Done]


def takes(kind: Any) -> dict[str, Any]:
    """The description of what is sent."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def asked(request: Request, visitor: Visitor, kind: type[Asked]) -> tuple[Actor, Asked]:
    """Who acts, and what they sent. Raises Refused."""
    actor = acts.allowed(request, visitor, request.headers.get("x-form-token", ""))
    try:
        return actor, msgspec.json.decode(await body(request), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refused(422, f"What was sent is not as described: {error}.") from None


@router.get("/pipelines/{name}/sinks/{sink}/parked", responses=gives("Page"), response_class=Json)
def parked(
    name: str,
    sink: str,
    request: Request,
    _: Viewer,
    after: Annotated[int, Query(ge=-1, le=acts.LARGEST_NUMBER)] = -1,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    resolved: bool = False,
) -> Any:
    """Letters of one sink that are open, or all."""
    desk = desk_of(request)
    watched = desk.sink(name, sink)
    with desk.search():
        return Json(read(watched.pipeline, sink, after=after, limit=limit, resolved=resolved))


@router.get(
    "/pipelines/{name}/sinks/{sink}/parked/groups",
    responses=gives("Group", many=True),
    response_class=Json,
)
def parked_groups(name: str, sink: str, request: Request, _: Viewer) -> Any:
    """Open letters by table and kind of reason."""
    desk = desk_of(request)
    watched = desk.sink(name, sink)
    with desk.search():
        return Json(groups(watched.pipeline, sink))


@router.get(
    "/pipelines/{name}/sinks/{sink}/parked/{number}",
    responses=gives("Letter"),
    response_class=Json,
)
def parked_one(name: str, sink: str, number: int, request: Request, _: Viewer) -> Any:
    """One letter."""
    desk = desk_of(request)
    watched = desk.sink(name, sink)
    with desk.search():
        return Json(one(watched.pipeline, sink, number))


@router.post(
    "/pipelines/{name}/sinks/{sink}/parked/redrive",
    responses=gives("Redriven"),
    response_class=Json,
    openapi_extra=takes(Redrive),
)
async def redrive(name: str, sink: str, request: Request, visitor: Viewer) -> Any:
    """Apply letters again, or see what would come of it."""
    actor, sent = await asked(request, visitor, Redrive)
    watched = desk_of(request).sink(name, sink)
    numbers = acts.some(sent.numbers)

    def act() -> decide.Redriven:
        choice = acts.chosen(watched, sink, numbers, sent.kind)
        return decide.redrive(
            watched.pipeline, watched.spec, choice, actor, sent.reason[:200], dry_run=sent.dry_run
        )

    return Json(await run_in_threadpool(act))


@router.post(
    "/pipelines/{name}/sinks/{sink}/parked/discard",
    responses=gives("Discarded"),
    response_class=Json,
    openapi_extra=takes(Discard),
)
async def discard(name: str, sink: str, request: Request, visitor: Viewer) -> Any:
    """Give letters up."""
    actor, sent = await asked(request, visitor, Discard)
    watched = desk_of(request).sink(name, sink)
    numbers = acts.some(sent.numbers)
    done = acts.discarded
    return Json(await run_in_threadpool(done, watched, sink, numbers, actor, sent.reason))


@router.post(
    "/pipelines/{name}/acts/{act}",
    responses=gives("Done"),
    response_class=Json,
    openapi_extra=takes(Reason),
)
async def do(name: str, act: str, request: Request, visitor: Viewer) -> Any:
    """`pause`, `resume`, `restart` or `restart-failed` the connector."""
    actor, sent = await asked(request, visitor, Reason)
    watched = desk_of(request).pipeline(name)
    await run_in_threadpool(acts.do, watched, act, actor, sent.reason)
    return Json(Done(act))


@router.get("/pipelines/{name}/trace", responses=gives("Trace"), response_class=Json)
def trace(
    name: str,
    request: Request,
    _: Viewer,
    what: Annotated[str, Query(min_length=1, max_length=4096)],
    table: str = "",
    since: Annotated[str, Query(description="How far back, like 30m or 2h")] = "",
) -> Any:
    """The life of the changes of an LSN, an event id or a key."""
    desk = desk_of(request)
    watched = desk.pipeline(name)
    with desk.search():
        return Json(work.traced(watched, what, table, since))


@router.get("/pipelines/{name}/actions", responses=gives("Actions"), response_class=Json)
def actions(
    name: str, request: Request, _: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> Any:
    """What operators did, the newest first."""
    watched = desk_of(request).pipeline(name)
    return Json(Actions(tuple(log_of(watched.pipeline, watched.spec).recent(limit))))
