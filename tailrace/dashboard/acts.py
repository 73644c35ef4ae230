"""What changes something: shown first with its exact effect, then done, always logged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from tailrace import operations
from tailrace.actions import Actor
from tailrace.dashboard.access import Refused, Visitor
from tailrace.dashboard.desk import Viewer, desk_of
from tailrace.dashboard.pages import fields, page
from tailrace.exits import Problem
from tailrace.parked import decide
from tailrace.parked.choice import Choice, choose
from tailrace.watch.servers import Watched

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
T = TypeVar("T")
LARGEST_NUMBER = 1 << 62
MOST_REASONS = 20
NUMBERS = "Letters are named by their numbers, at most 1,000 at a time."


@dataclass(frozen=True, slots=True)
class Act:
    """Something that can be done to a connector: what it says, means and does."""

    heading: str
    effect: str
    command: str
    do: Callable[..., Any]


ACTS = {
    "pause": Act(
        "Pause the connector",
        "Nothing more is sent to Kafka until it is resumed. Nothing is lost; the source keeps its"
        " log meanwhile, which takes disk.",
        "tailrace connector pause",
        operations.pause,
    ),
    "resume": Act(
        "Resume the connector",
        "It goes on where it stopped, unless the source has lost what it needs: then that is said,"
        " and nothing is started.",
        "tailrace connector resume",
        operations.resume,
    ),
    "restart": Act(
        "Restart the connector",
        "It is stopped and started without losing a change; for some seconds nothing is sent.",
        "tailrace connector restart",
        operations.restart,
    ),
    "restart-failed": Act(
        "Restart failed tasks",
        "If the connector or a task of it has failed, it is stopped and started without losing a"
        " change; else nothing is done.",
        "tailrace connector restart",
        operations.restart_failed_tasks,
    ),
}


def allowed(request: Request, visitor: Visitor, form_token: str) -> Actor:
    """Who acts. Raises Refused."""
    desk_of(request).access.check_act(visitor, request.headers, form_token)
    return Actor(visitor.name, "dashboard")


def confirm(request: Request, visitor: Visitor, status: int = 200, **values: Any) -> HTMLResponse:
    """The page that asks; it has the form only for those who may."""
    may = desk_of(request).access.may_act(visitor)
    is_read_only = desk_of(request).access.read_only
    why_not = "This dashboard is read-only." if is_read_only else "Operators may do this."
    defaults = {"error": "", "hidden": [], "reason_needed": False, "reason": ""}
    return page(
        request,
        "confirm.html",
        visitor,
        **defaults | values,
        title=values["heading"],
        may_act=may,
        why_not=why_not,
        status=status,
    )


def one_of(acts: Mapping[str, T], act: str) -> T:
    """Raises Refused for an act that there is not."""
    if act not in acts:
        raise Refused(404, f"There is no action {act:.40}; there are {', '.join(acts)}.")
    return acts[act]


def do(watched: Watched, act: str, actor: Actor, reason: str) -> None:
    """Raises Refused for an act that there is not, and Problem."""
    one_of(ACTS, act).do(watched.pipeline, watched.spec, actor, reason[:200])


@router.get("/p/{name}/do/{act}")
def ask(name: str, act: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """What it would do to the connector."""
    desk_of(request).pipeline(name)
    found = one_of(ACTS, act)
    return confirm(
        request,
        visitor,
        name=name,
        here="source",
        heading=f"{found.heading} of {name}",
        effect=found.effect,
        command=found.command,
        back=f"/p/{name}/source",
    )


@router.post("/p/{name}/do/{act}")
async def act_on(name: str, act: str, request: Request, visitor: Viewer) -> Response:
    """Does it, and goes back."""
    form = await fields(request)
    actor = allowed(request, visitor, form.get("form_token", ""))
    watched = desk_of(request).pipeline(name)
    await run_in_threadpool(do, watched, act, actor, form.get("reason", ""))
    return RedirectResponse(f"/p/{name}/source", 303)


def numbers_of(text: str) -> list[int]:
    """Letters' numbers, commas between. Raises Refused."""
    words = [word for word in text.replace(",", " ").split() if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 20 for word in words):
        raise Refused(400, NUMBERS)
    return some([int(word) for word in words])


def some(numbers: list[int]) -> list[int]:
    """The same, if a sink can have letters of these numbers. Raises Refused."""
    if len(numbers) > 1000 or any(not 0 <= number <= LARGEST_NUMBER for number in numbers):
        raise Refused(422, NUMBERS)
    return numbers


def chosen(watched: Watched, sink: str, numbers: list[int], kind: str | None) -> Choice:
    """The letters that are meant. Raises Refused where none is named, and Problem."""
    if not numbers and kind is None:
        raise Refused(400, "Say which letters: their numbers, or a kind; an empty kind means all.")
    return choose(watched.pipeline, sink, numbers=numbers, kind=kind)


@router.get("/p/{name}/parked/{sink}/redrive")
def ask_redrive(name: str, sink: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """What a redrive would do: really tried, and rolled back. Operators only: it takes locks."""
    watched = desk_of(request).sink(name, sink)
    asked = request.query_params
    numbers, kind = numbers_of(",".join(asked.getlist("numbers"))), asked.get("kind")
    back = f"/p/{name}/parked?sink={sink}"
    values: dict[str, Any] = {
        "name": name,
        "here": "parked",
        "heading": f"Redrive to {sink}",
        "back": back,
        "command": _redrive_command(sink, numbers, kind),
        "hidden": [("numbers", ",".join(map(str, numbers)))]
        + ([] if kind is None else [("kind", kind)]),
        "effect": "These letters are applied again, each at its place in the order of changes:"
        " what came after it stays. Log in to see what would come of it.",
    }
    if desk_of(request).access.may_act(visitor):
        choice = chosen(watched, sink, numbers, kind if not numbers else None)
        tried = decide.redrive(
            watched.pipeline, watched.spec, choice, Actor("", "dashboard"), dry_run=True
        )
        values["effect"] = _would(tried)
        values["lines"] = _reasons(tried)
    return confirm(request, visitor, **values)


@router.post("/p/{name}/parked/{sink}/redrive")
async def redrive(name: str, sink: str, request: Request, visitor: Viewer) -> Response:
    """Does it, and says what came of it."""
    form = await fields(request)
    actor = allowed(request, visitor, form.get("form_token", ""))
    watched = desk_of(request).sink(name, sink)
    numbers, kind = numbers_of(form.get("numbers", "")), form.get("kind")

    def act() -> decide.Redriven:
        choice = chosen(watched, sink, numbers, kind if not numbers else None)
        reason = form.get("reason", "")[:200]
        return decide.redrive(watched.pipeline, watched.spec, choice, actor, reason)

    done = await run_in_threadpool(act)
    return page(
        request,
        "said.html",
        visitor,
        title="redriven",
        name=name,
        here="parked",
        heading=f"Redriven to {sink}",
        sentence=f"{_counts(done)} It is action {done.action_id} of the log.",
        lines=_reasons(done),
        is_error=False,
        back=f"/p/{name}/parked?sink={sink}",
    )


@router.get("/p/{name}/parked/{sink}/discard")
def ask_discard(name: str, sink: str, request: Request, visitor: Viewer) -> HTMLResponse:
    """Says what is given up."""
    desk_of(request).sink(name, sink)
    numbers = numbers_of(",".join(request.query_params.getlist("numbers")))
    if not numbers:
        raise Refused(400, "Say which letters, by their numbers.")
    shown = ", ".join(map(str, numbers[:10]))
    return confirm(
        request,
        visitor,
        name=name,
        here="parked",
        heading=f"Discard {len(numbers)} of {sink}",
        effect=f"Letters {shown} are given up: they leave the list and are never applied, so that"
        " source and sink stay different there. They stay in their topic.",
        command=f"tailrace parked discard {sink} {' '.join(map(str, numbers))} --reason …",
        hidden=[("numbers", ",".join(map(str, numbers)))],
        reason_needed=True,
        back=f"/p/{name}/parked?sink={sink}",
    )


@router.post("/p/{name}/parked/{sink}/discard")
async def discard(name: str, sink: str, request: Request, visitor: Viewer) -> Response:
    """Does it, and goes back."""
    form = await fields(request)
    actor = allowed(request, visitor, form.get("form_token", ""))
    watched = desk_of(request).sink(name, sink)
    numbers = numbers_of(form.get("numbers", ""))
    await run_in_threadpool(discarded, watched, sink, numbers, actor, form.get("reason", ""))
    return RedirectResponse(f"/p/{name}/parked?sink={sink}", 303)


def discarded(
    watched: Watched, sink: str, numbers: list[int], actor: Actor, reason: str
) -> decide.Discarded:
    """Raises Problem."""
    return decide.discard(watched.pipeline, watched.spec, sink, numbers, actor, reason[:200])


@router.post("/p/{name}/verify/{sink}")
async def verify(name: str, sink: str, request: Request, visitor: Viewer) -> Response:
    """Starts a comparison. It only reads, but all of both tables: operators only."""
    form = await fields(request)
    allowed(request, visitor, form.get("form_token", ""))
    desk = desk_of(request)
    if not desk.verifications.start(desk.sink(name, sink), sink, visitor.name):
        raise Problem("TR-DSH-006", f"A comparison of sink {sink} runs already.")
    return RedirectResponse(f"/p/{name}/verify", 303)


def _redrive_command(sink: str, numbers: list[int], kind: str | None) -> str:
    if numbers:
        return f"tailrace parked redrive {sink} {' '.join(map(str, numbers))}"
    return f"tailrace parked redrive {sink} " + (f"--kind {kind!r}" if kind else "--all")


def _reasons(done: decide.Redriven) -> list[str]:
    return [f"{fate.number}: {fate.reason}" for fate in done.fates if fate.reason][:MOST_REASONS]


def _counts(done: decide.Redriven) -> str:
    return (
        f"{done.written:,} written, {done.stale:,} stale (the sink has something as new),"
        f" {done.refused:,} refused again, {done.taken:,} decided by others meanwhile."
    )


def _would(tried: decide.Redriven) -> str:
    return f"Tried just now, and taken back: of {len(tried.fates):,} letter(s) {_counts(tried)}"
