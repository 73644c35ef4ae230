"""The JSON API under /api/v1, described by /api/v1/openapi.json."""

import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.watch import view
from tailrace.watch.history import STEP_S, Point
from tailrace.watch.metrics import exposition

PREFIX = "/api/v1"
router = APIRouter(prefix=PREFIX)
SCHEMAS: list[Any] = [view.Snapshot, view.Pipeline, Point]


class Said(msgspec.Struct, frozen=True):
    """Why a request was refused, or went wrong: `code` is that of docs/errors.md, if it has one."""

    error: str
    code: str | None = None


SCHEMAS.append(Said)


class Json(Response):
    """Of msgspec's values."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


def gives(name: str, *, many: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answers of a route, for its description."""
    one = {"$ref": f"#/components/schemas/{name}"}
    schema = {"type": "array", "items": one} if many else one
    said = {"application/json": {"schema": {"$ref": "#/components/schemas/Said"}}}
    return {
        200: {"description": name, "content": {"application/json": {"schema": schema}}},
        "4XX": {"description": "Refused", "content": said},
        503: {"description": "A server that is needed did not answer", "content": said},
    }


@router.get("/snapshot", response_class=Json, responses=gives("Snapshot"))
def snapshot(request: Request, _: Viewer) -> Json:
    """Everything that is known now, worst first."""
    return Json(desk_of(request).hub.latest)


@router.get("/pipelines/{name}", response_class=Json, responses=gives("Pipeline"))
def pipeline(name: str, request: Request, _: Viewer) -> Json:
    """One pipeline as it was last seen."""
    desk = desk_of(request)
    desk.pipeline(name)
    found = desk.hub.pipeline(name)
    return Json(found) if found else Json(Said("It has not been looked at yet."), 503)


@router.get("/pipelines/{name}/history", response_class=Json, responses=gives("Point", many=True))
def history(
    name: str,
    request: Request,
    _: Viewer,
    sink: Annotated[str, Query(description="Without it: the source's")] = "",
    steps: Annotated[bool, Query(description="The worst of 30 s each, not every look")] = False,
    minutes: Annotated[float, Query(gt=0, le=1440)] = 60,
) -> Json:
    """What it was like: the last hour look by look, the last day in steps of 30 s."""
    desk = desk_of(request)
    if sink:
        desk.sink(name, sink)
    else:
        desk.pipeline(name)
    return Json(desk.hub.series(name, sink, STEP_S if steps else 1, time.time() - 60 * minutes))


metrics_router = APIRouter(include_in_schema=False)


@metrics_router.get("/metrics")
def metrics(request: Request, _: Viewer) -> Response:
    """As Prometheus has it: docs/metrics.md."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return Response(exposition(desk_of(request).hub.latest), media_type=kind)


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the schemas of what is sent, which FastAPI does not know."""
    if app.openapi_schema is None:
        found = get_openapi(title="tailrace", version="1", routes=app.routes)
        _, components = msgspec.json.schema_components(
            SCHEMAS, ref_template="#/components/schemas/{name}"
        )
        found.setdefault("components", {}).setdefault("schemas", {}).update(components)
        app.openapi_schema = found
    return app.openapi_schema
