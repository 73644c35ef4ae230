"""
Deciding about letters: applied again (redriven), or given up (discarded). Nothing else ends them.

A redrive writes straight to the sink, at the place that each change had in the order of changes, so
that what came after it stays (`stale`). No offset moves, and the worker may run (sinks/redrive.py
says what keeps the two apart). Effect and resolution are one transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import msgspec
import psycopg

from connectors.spec import ConnectorSpec
from consumer.errors import Busy, Refused
from sinks import refusal
from sinks.marks import SESSION
from tailrace.actions import Actor, log_of
from tailrace.config import Pipeline, SubscriberSink, chosen
from tailrace.exits import TRY_AGAIN, USAGE, Problem
from tailrace.parked.again import Fate, again_of
from tailrace.parked.choice import Choice, choose
from tailrace.parked.resolutions import Resolutions, Taken
from tailrace.wiring import group_of

LOGGED_NUMBERS = 1_000
OUTCOMES = ("written", "stale", "refused", "taken")
EVENT_OPTIONS = "-c statement_timeout=120s -c lock_timeout=30s"
OPTIONS = f"{SESSION} -c lock_timeout=30s"  # a worker's batch can take that long

Progress = Callable[[int, int], None]
"""Told (letters done, letters to do)."""


class Redriven(msgspec.Struct, frozen=True):
    """What a redrive did, or with `dry_run` would do; each transaction of the dry run alone."""

    sink: str
    dry_run: bool
    written: int
    stale: int
    refused: int
    taken: int
    fates: tuple[Fate, ...]
    action_id: int | None


class Discarded(msgspec.Struct, frozen=True):
    """The letters that were given up."""

    sink: str
    numbers: tuple[int, ...]
    action_id: int


def redrive(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    choice: Choice,
    actor: Actor,
    reason: str = "",
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Redriven:
    """
    Apply these letters again, by number, in transactions of at most 500 of one partition.

    With `dry_run` each transaction is rolled back. Raises Problem: TR-ACT-001 before anything was
    done, TR-PRK-004 when the sink cannot take it now (what was committed before stays), Away.
    """
    if dry_run or not choice.letters:
        found = _redrive(pipeline, choice, None, progress)
        return msgspec.structs.replace(found, dry_run=dry_run)
    log = log_of(pipeline, spec)
    what = _what(choice)
    with log.logged(actor, "redrive", f"sink {choice.sink}", reason, what) as act:
        done = _redrive(pipeline, choice, (actor.name, reason, act.id), progress)
        act.outcome = f"written {done.written}, stale {done.stale}, refused {done.refused}"
    return done


def _what(choice: Choice) -> dict[str, Any]:
    numbers = list(choice.letters)
    return {"by": choice.by, "letters": len(numbers), "numbers": numbers[:LOGGED_NUMBERS]}


def _redrive(
    pipeline: Pipeline, choice: Choice, by: tuple[str, str, int] | None, progress: Progress
) -> Redriven:
    fates: list[Fate] = []
    if choice.letters:
        with _sink(pipeline, choice.sink) as connection:
            again = again_of(pipeline, choice, connection, by)
            for at, letters in again.batches():
                fates += again.apply(at, letters)
                progress(len(fates), len(choice.letters))
    count = {name: sum(f.outcome == name for f in fates) for name in OUTCOMES}
    return Redriven(
        sink=choice.sink,
        dry_run=by is None,
        **count,
        fates=tuple(sorted(fates, key=attrgetter("number"))),
        action_id=None if by is None else by[2],
    )


def discard(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    sink: str,
    numbers: Sequence[int],
    actor: Actor,
    reason: str,
) -> Discarded:
    """
    Give these letters up: they leave the list, and stay in the topic.

    Raises Problem: TR-PRK-003 without a reason, TR-PRK-002 unless every one is open and there is
    one; then nothing is done. TR-ACT-001, TR-PRK-004 and Away as `redrive`.
    """
    if not numbers:  # to `choose` none means all
        raise Problem("TR-PRK-002", "Say which letters, by their numbers.", exit_code=USAGE)
    if not reason.strip():
        raise Problem(
            "TR-PRK-003",
            "Discarding needs a reason, which the log of actions keeps: say why with --reason.",
            exit_code=USAGE,
        )
    choice = choose(pipeline, sink, numbers=numbers)
    group = group_of(pipeline, sink)
    every = [n for first, repeats in choice.letters.items() for n in (first, *repeats)]
    log = log_of(pipeline, spec)
    with log.logged(actor, "discard", f"sink {sink}", reason, _what(choice)) as act:
        with _sink(pipeline, sink) as connection:
            resolutions = Resolutions(connection, group, choice.log)
            resolutions.make_room()
            resolutions.add(every, "discarded", "none", (actor.name, reason, act.id))
            connection.commit()
        act.outcome = f"discarded {len(choice.letters)}"
    return Discarded(sink, tuple(choice.letters), act.id)


@contextmanager
def _sink(pipeline: Pipeline, sink: str) -> Iterator[psycopg.Connection[Any]]:
    """The sink's database, as its worker sees it. Raises Problem."""
    settings = chosen(pipeline, sink)[sink]
    try:
        with (
            refusal.as_busy(settings.tables),
            psycopg.connect(
                settings.dsn,
                options=EVENT_OPTIONS if isinstance(settings, SubscriberSink) else OPTIONS,
                connect_timeout=5,
                application_name="tailrace redrive",
            ) as connection,
        ):
            yield connection
    except Busy as busy:
        raise Problem("TR-PRK-004", f"Sink {sink}: {busy}.", exit_code=TRY_AGAIN) from busy
    except Refused as refused:
        raise Problem("TR-PRK-004", f"Sink {sink}: {refused}.") from refused
    except Taken:
        raise Problem(
            "TR-PRK-002", f"Somebody else has decided about a letter of sink {sink} meanwhile."
        ) from None
