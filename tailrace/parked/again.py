"""One redrive: letters tried again, each by itself, in transactions of one partition."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import psycopg

from consumer.errors import Rejected, Unreadable
from consumer.event import ChangeEvent, TopicPartition
from sinks.compaction import Placeholder
from sinks.redrive import Redrive
from sinks.target import Target, read_targets
from tailrace import named
from tailrace.config import Pipeline, SubscriberSink
from tailrace.exits import Problem
from tailrace.parked.choice import Choice
from tailrace.parked.letter import Parked, Unredrivable, change_of
from tailrace.parked.letters import opened
from tailrace.parked.resolutions import Resolutions, Taken
from tailrace.wiring import group_of

if TYPE_CHECKING:
    from eventstore.subscriber import Subscriber

AT_ONCE = 500  # letters in one transaction, for which the worker of their partition waits
AT_ONCE_BYTES = 8 << 20


class Fate(msgspec.Struct, frozen=True):
    """
    Of one letter: written, stale (the sink has something as new; nothing to do), refused (it stays
    open, for this reason), or taken (somebody else decided meanwhile).
    """

    number: int
    outcome: Literal["written", "stale", "refused", "taken"]
    reason: str | None = None


def again_of(
    pipeline: Pipeline,
    choice: Choice,
    connection: psycopg.Connection[Any],
    by: tuple[str, str, int] | None,
) -> "Again":
    """What redrives these letters, by the type of their sink; `by` is None for a dry run."""
    settings = pipeline.sinks[choice.sink]
    if isinstance(settings, SubscriberSink):
        from eventstore.subscriber import Subscriber

        subscriber = named.load(settings.module, Subscriber)
        return EventsAgain(pipeline, choice, connection, {}, by, subscriber=subscriber)
    targets = read_targets(connection, settings.tables)
    connection.rollback()
    return Again(pipeline, choice, connection, targets, by)


def _by_partition(letters: list[Parked]) -> Iterator[tuple[TopicPartition, list[Parked]]]:
    """One partition's mark is locked at a time: two could wait for each other's."""
    ordered = sorted(letters, key=lambda letter: (letter.record.at, letter.number))
    for at, some in groupby(ordered, key=lambda letter: letter.record.at):
        yield at, list(some)


@dataclass(frozen=True)
class Again:
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
            write = self.writer(group, at)
            resolutions.make_room()
            return [self._one(letter, write, resolutions) for letter in letters]

    def writer(self, group: str, at: TopicPartition) -> Callable[[Parked], bool]:
        """What writes a letter of this partition; false where the sink has something as new."""
        placeholder = self.pipeline.source.placeholder
        redrive = Redrive(self.connection, group, at, self.targets, placeholder)

        def write(letter: Parked) -> bool:
            change = change_of(letter, self.pipeline.sinks[self.choice.sink].tables)
            self._refuse_incomplete(letter, change)
            return redrive.write(change)

        return write

    def _one(
        self, letter: Parked, write: Callable[[Parked], bool], resolutions: Resolutions
    ) -> Fate:
        numbers = [letter.number, *self.choice.letters[letter.number]]
        try:
            with self.connection.transaction():
                effect: Literal["written", "stale"] = "written" if write(letter) else "stale"
                resolutions.add(numbers, "redriven", effect, self.by or ("", "", 0))
        except (Unredrivable, Unreadable, Rejected) as error:
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


@dataclass(frozen=True)
class EventsAgain(Again):
    """Letters of a subscriber: its handlers run again, and the inbox tells what was had."""

    subscriber: "Subscriber" = field(kw_only=True)

    def writer(self, group: str, at: TopicPartition) -> Callable[[Parked], bool]:
        from eventstore.subscriber_sink import handle_again

        return lambda letter: handle_again(self.connection, self.subscriber, letter.record)


def _row(letter: Parked) -> int:
    return hash((letter.record.at.topic, letter.record.key))


def _why(error: Unredrivable | Unreadable | Rejected) -> str:
    if isinstance(error, Rejected):
        return error.refused[0][1]
    if isinstance(error, Unreadable):
        return str(error)
    return f"it can only be discarded: {error}"
