"""
Deciding about letters: applied again (redriven), or given up (discarded). Nothing else ends them.

A redrive writes straight to the sink, at the place that each change had in the order of changes, so
that what came after it stays (`stale`). No offset moves, and the worker may run (sinks/redrive.py
says what keeps the two apart). Effect and resolution are one transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

import msgspec
import psycopg

from connectors.spec import ConnectorSpec
from consumer.errors import Busy, Refused, Rejected
from consumer.event import ChangeEvent, TopicPartition
from sinks import refusal
from sinks.compaction import Placeholder
from sinks.marks import SESSION
from sinks.redrive import Redrive
from sinks.target import Target, read_targets
from tailrace.actions import Actor, log_of
from tailrace.config import Pipeline, chosen
from tailrace.exits import TRY_AGAIN, USAGE, Problem
from tailrace.parked.choice import Choice, choose
from tailrace.parked.letter import Parked, Unredrivable, change_of
from tailrace.parked.letters import opened
from tailrace.parked.resolutions import Resolutions, Taken
from tailrace.wiring import group_of

AT_ONCE = 500  # letters in one transaction, for which the worker of their partition waits
AT_ONCE_BYTES = 8 << 20
LOGGED_NUMBERS = 1_000
OUTCOMES = ("written", "stale", "refused", "taken")
OPTIONS = f"{SESSION} -c lock_timeout=30s"  # a worker's batch can take that long

Progress = Callable[[int, int], None]
"""Told (letters done, letters to do)."""


class Fate(msgspec.Struct, frozen=True):
    """
    Of one letter: written, stale (the sink has something as new; nothing to do), refused (it stays
    open, for this reason), or taken (somebody else decided meanwhile).
    """

    number: int
    outcome: Literal["written", "stale", "refused", "taken"]
    reason: str | None = None


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
            targets = read_targets(connection, pipeline.sinks[choice.sink].tables)
            connection.rollback()
            again = _Again(pipeline, choice, connection, targets, by)
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


def _by_partition(letters: list[Parked]) -> Iterator[tuple[TopicPartition, list[Parked]]]:
    """One partition's mark is locked at a time: two could wait for each other's."""
    ordered = sorted(letters, key=lambda letter: (letter.record.at, letter.number))
    for at, some in groupby(ordered, key=lambda letter: letter.record.at):
        yield at, list(some)


@dataclass(frozen=True, slots=True)
class _Again:
    """
    One redrive; `by` is None for a dry run. `open_rows`: those with an open letter that was not
    chosen, so far; `behind`: chosen letters that come after such a one of their row.
    """

    pipeline: Pipeline
    choice: Choice
    connection: psycopg.Connection[Any]
    targets: dict[str, Target]
    by: tuple[str, str, int] | None
    open_rows: set[int] = field(default_factory=set)
    behind: set[int] = field(default_factory=set)
    refused_rows: set[int] = field(default_factory=set)

    def batches(self) -> Iterator[tuple[TopicPartition, list[Parked]]]:
        """Chosen letters in their order, some of one partition at a time; few bytes in memory."""
        with opened(self.pipeline, self.choice.sink) as drawer:
            if drawer is None or drawer.log != self.choice.log:
                raise Problem(
                    "TR-PRK-008",
                    f"The dead letters of sink {self.choice.sink} were deleted meanwhile, so these"
                    " numbers mean others, or none: look at the list again.",
                )
            some: list[Parked] = []
            size = 0
            for each, resolution, repeats in drawer.walk():
                if each.number in self.choice.letters:
                    if _row(each) in self.open_rows:
                        self.behind.add(each.number)
                    some.append(each)
                    size += len(each.record.value or b"")
                elif resolution is None and repeats is None:
                    self.open_rows.add(_row(each))
                if len(some) == AT_ONCE or size > AT_ONCE_BYTES:
                    yield from _by_partition(some)
                    some, size = [], 0
            yield from _by_partition(some)

    def apply(self, at: TopicPartition, letters: Sequence[Parked]) -> list[Fate]:
        group = group_of(self.pipeline, self.choice.sink)
        resolutions = Resolutions(self.connection, group, self.choice.log)
        with self.connection.transaction(force_rollback=self.by is None):
            placeholder = self.pipeline.source.placeholder
            redrive = Redrive(self.connection, group, at, self.targets, placeholder)
            resolutions.make_room()
            return [self._one(letter, redrive, resolutions) for letter in letters]

    def _one(self, letter: Parked, redrive: Redrive, resolutions: Resolutions) -> Fate:
        numbers = [letter.number, *self.choice.letters[letter.number]]
        try:
            change = change_of(letter, self.pipeline.sinks[self.choice.sink].tables)
            self._refuse_incomplete(letter, change)
            with self.connection.transaction():
                effect: Literal["written", "stale"]
                effect = "written" if redrive.write(change) else "stale"
                resolutions.add(numbers, "redriven", effect, self.by or ("", "", 0))
        except (Unredrivable, Rejected) as error:
            self.refused_rows.add(_row(letter))
            return Fate(letter.number, "refused", _why(error))
        except Taken:
            return Fate(letter.number, "taken", "somebody else has decided about it meanwhile")
        return Fate(letter.number, effect)

    def _refuse_incomplete(self, letter: Parked, change: ChangeEvent) -> None:
        """What it leaves out would come from a row that an earlier letter has not changed yet."""
        token = Placeholder(self.pipeline.source.placeholder)
        follows = letter.number in self.behind or _row(letter) in self.refused_rows
        if follows and change.op == "u" and token.may_be_in(change.record.value, arrays=True):
            raise Rejected(
                [
                    (
                        change,
                        "it leaves out a large value that stayed the same, and an earlier letter of"
                        " its row is open: redrive that one before it, or with it",
                    )
                ]
            )


def _row(letter: Parked) -> int:
    return hash((letter.record.at.topic, letter.record.key))


def _why(error: Unredrivable | Rejected) -> str:
    if isinstance(error, Rejected):
        return error.refused[0][1]
    return f"it can only be discarded: {error}"


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
                options=OPTIONS,
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
