"""The page of the supervisor: how far it may go, what it would do, and a person's word on that."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from supervision import proposals
from supervision.proposals import Proposal, Standing
from supervision.stuck import Stuck
from tailrace.asking import Away, database
from tailrace.config import Pipeline, PostgresSink, SubscriberSink
from tailrace.dashboard.acts import allowed, confirm, one_of
from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.dashboard.pages import fields, page
from tailrace.decisions import Desk
from tailrace.destinations import subjects
from tailrace.exits import Problem

MOST = 200
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Decide = Callable[[Desk, str], Proposal]

ACTS: dict[str, tuple[str, str, str, Decide]] = {
    "approve": (
        "Approve",
        "It is done now, once, if the row or saga is still as it was found.",
        "approve {id}",
        lambda desk, id_: desk.approve(id_)[0],
    ),
    "reject": (
        "Reject",
        "It is not done, nor proposed again while the row or saga stays as it is.",
        "reject {id}",
        lambda desk, id_: desk.reject(id_),
    ),
    "right": (
        "Judge right",
        "Evidence that the supervisor may be trusted with more; nothing is done.",
        "judge {id} right",
        lambda desk, id_: desk.judge(id_, "right"),
    ),
    "wrong": (
        "Judge wrong",
        "The supervisor goes down a rung with this destination or step; nothing else is done.",
        "judge {id} wrong",
        lambda desk, id_: desk.judge(id_, "wrong"),
    ),
}


class Shown(msgspec.Struct, frozen=True):
    """A proposal in words. `keys`: of a row; a saga has its id there."""

    id: str
    proposal: Proposal
    what: str
    keys: str
    saga: str | None

    @property
    def acts(self) -> tuple[str, ...]:
        """What a person may say about it now."""
        if self.proposal.state != "open":
            return ("right", "wrong") if self.proposal.state == "done" else ()
        return ("right", "wrong") if self.proposal.rung == "shadow" else ("approve", "reject")


@router.get("/p/{name}/supervisor")
def supervisor(name: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """Rungs, and proposals that wait for somebody; nothing is written for it."""
    pipeline = desk_of(request).pipeline(name).pipeline
    with desk_of(request).search():
        found = list(_found(pipeline))
    return page(
        request,
        "supervisor.html",
        visitor,
        title=f"supervisor, {name}",
        name=name,
        here="supervisor",
        acts=ACTS,
        standings=[each for standings, _, _ in found for each in standings],
        proposals=[each for _, shown, _ in found for each in shown],
        troubles=[trouble for _, _, trouble in found if trouble],
    )


def _found(pipeline: Pipeline) -> Iterator[tuple[list[Standing], list[Shown], str]]:
    """Of each sink; a server that is away hides nothing of the others."""
    for sink, of in pipeline.sinks.items():
        if not isinstance(of, PostgresSink | SubscriberSink):
            continue
        try:
            with database(of.dsn, f"database of sink {sink}") as tx:
                if proposals.is_here(tx):
                    here = subjects(pipeline, sink, tx)
                    shown = [_shown(sink, one) for one in proposals.listed(tx, here, limit=MOST)]
                    yield proposals.standings(tx, here), shown, ""
        except Away as away:
            yield [], [], away.sentence


def _shown(sink: str, one: Proposal) -> Shown:
    finding = one.finding
    if isinstance(finding, Stuck):
        what = f"{finding.act}: {finding.says}"
        return Shown(f"{sink}/{one.id}", one, what, finding.saga, finding.saga)
    keys = ", ".join(f"{column}={value}" for column, value in finding.key.items())
    columns = f" in {', '.join(finding.columns)}" if finding.columns else ""
    what = f"mend: a row of {finding.table} is {finding.kind}{columns}"
    return Shown(f"{sink}/{one.id}", one, what, keys, None)


@router.get("/p/{name}/supervisor/{sink}/{number}/{act}")
def ask(
    name: str, sink: str, number: int, act: str, request: Request, visitor: Viewer
) -> HTMLResponse:
    """What it would do."""
    desk_of(request).sink(name, sink)
    return _confirm(request, visitor, name, f"{sink}/{number}", act)


def _confirm(
    request: Request, visitor: Viewer, name: str, id_: str, act: str, error: str = ""
) -> HTMLResponse:
    heading, effect, command, _ = one_of(ACTS, act)
    pipeline = desk_of(request).pipeline(name).pipeline
    lines: list[Any] = []
    with suppress(Away):
        lines = [
            f"{each.what}, {each.keys}"
            for _, shown, _ in _found(pipeline)
            for each in shown
            if each.id == id_
        ]
    return confirm(
        request,
        visitor,
        409 if error else 200,
        name=name,
        here="supervisor",
        heading=f"{heading} {id_}",
        effect=effect,
        lines=lines,
        command=f'tailrace supervise {command.format(id=id_)} --reason "…"',
        back=f"/p/{name}/supervisor",
        reason_needed=True,
        error=error,
    )


@router.post("/p/{name}/supervisor/{sink}/{number}/{act}")
async def act_on(
    name: str, sink: str, number: int, act: str, request: Request, visitor: Viewer
) -> Response:
    """Does it, and goes back; who came second is told what the first has decided."""
    form = await fields(request)
    actor = allowed(request, visitor, form.get("form_token", ""))
    pipeline = desk_of(request).sink(name, sink).pipeline
    *_, decide = one_of(ACTS, act)
    id_, reason = f"{sink}/{number}", form.get("reason", "")[:200]

    try:
        done = await run_in_threadpool(decide, Desk(pipeline, actor.name, reason), id_)
    except Problem as problem:
        return _confirm(request, visitor, name, id_, act, problem.sentence)
    if act == "approve" and (done.state != "done" or done.actor != actor.name):
        said = f"It is {done.state}, by {done.actor}: {done.reason}"
        return _confirm(request, visitor, name, id_, act, said)
    return RedirectResponse(f"/p/{name}/supervisor", 303)
