"""The page of events: the versions of read models, and what happened to one stream."""

from itertools import islice
from typing import Any

import msgspec
import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from eventstore import audit
from eventstore.past import as_of
from tailrace import read_models
from tailrace.asking import Away, database
from tailrace.config import Pipeline
from tailrace.dashboard.access import Role
from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.dashboard.pages import page
from tailrace.exits import Problem

MOST_EVENTS = 200
LONGEST_STREAM = 300

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/p/{name}/events")
def events(
    name: str, request: Request, visitor: Viewer, stream: str = "", version: int = -1
) -> HTMLResponse:
    """Only who may act sees what the events say: it may be private."""
    pipeline = desk_of(request).pipeline(name).pipeline
    stream = stream.strip()[:LONGEST_STREAM]
    values: dict[str, Any] = {"history": None, "state": None, "trouble": ""}
    with desk_of(request).search():
        if stream:
            try:
                values |= _found(pipeline, stream, version if visitor.role >= Role.OPERATOR else -1)
            except (Away, Problem) as error:
                values["trouble"] = error.sentence
        models = read_models.listed(pipeline)
    return page(
        request,
        "events.html",
        visitor,
        title=f"events, {name}",
        name=name,
        here="events",
        models=models,
        stream=stream,
        most=MOST_EVENTS,
        may_see=visitor.role >= Role.OPERATOR,
        **values,
    )


def _found(pipeline: Pipeline, stream: str, version: int) -> dict[str, Any]:
    """The first events of a stream, and its state after so many. Raises Away."""
    with database(pipeline.source.dsn, "source database") as connection:
        try:
            found = islice(audit.history(connection, stream), MOST_EVENTS + 1)
            history = [(each, msgspec.json.encode(each.data).decode()) for each in found]
            state = as_of(connection, stream, version) if version > 0 and history else None
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise Away("The source has no event store: run `tailrace events create`.") from error
    return {
        "history": history,
        "state": state,
        "trouble": "" if history else "There is no such stream.",
    }
