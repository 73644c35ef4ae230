"""Which rows `tailrace top` shows, in which order, and what a key makes of that. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tailrace.watch import view
from tailrace.watch.states import Verdict

ENTER, ESCAPE, ERASE = "\r\n", "\x1b", "\x7f\b"


@dataclass(frozen=True, slots=True)
class Row:
    """A sink of a pipeline; or its source, where `sink` is None."""

    pipeline: str
    verdict: Verdict
    sink: view.Sink | None

    @property
    def name(self) -> str:
        return self.sink.name if self.sink else "source"


@dataclass(frozen=True, slots=True)
class Choice:
    """
    `sort` is one of SORTS, None: as they come. `text` must be in a row's pipeline, name or state;
    `is_typing`: keys are letters of it.
    """

    sort: str | None = None
    is_reversed: bool = False
    text: str = ""
    is_typing: bool = False
    is_paused: bool = False


SORTS: Mapping[str, Callable[[Row], float | None]] = {
    "state": lambda row: row.verdict.state.badness,
    "lag": lambda row: row.sink.lag_s if row.sink else None,
    "behind": lambda row: row.sink.behind_records if row.sink else None,
    "in": lambda row: row.sink.arrived_per_s if row.sink else None,
    "out": lambda row: row.sink.applied_per_s if row.sink else None,
}
"""What rows can be sorted by, the highest first; in this order a key goes through them."""


def pressed(choice: Choice, key: str) -> Choice | None:
    """What is chosen after a key; None: to quit. Keys that mean nothing change nothing."""
    if choice.is_typing:
        return _typed(choice, key)
    match key:
        case "q":
            return None
        case "s":
            names = list(SORTS)
            at = names.index(choice.sort) + 1 if choice.sort else 0
            return replace(choice, sort=names[at % len(names)])
        case "r":
            return replace(choice, is_reversed=not choice.is_reversed)
        case "f":
            return replace(choice, is_typing=True)
        case "p":
            return replace(choice, is_paused=not choice.is_paused)
    return choice


def _typed(choice: Choice, key: str) -> Choice:
    """Enter keeps the text, Escape drops it."""
    if key in ENTER:
        return replace(choice, is_typing=False)
    if key == ESCAPE:
        return replace(choice, is_typing=False, text="")
    if key in ERASE:
        return replace(choice, text=choice.text[:-1])
    return replace(choice, text=choice.text + key) if key.isprintable() else choice


def rows(snapshot: view.Snapshot, choice: Choice) -> list[Row]:
    """Those that are chosen, in order; what is not known comes last, reversed or not."""
    found = [row for one in snapshot.pipelines for row in _of(one) if _has(row, choice.text)]
    if choice.sort is None:
        return found
    value = SORTS[choice.sort]
    known = [(at, row) for row in found if (at := value(row)) is not None]
    known.sort(key=lambda pair: pair[0] if choice.is_reversed else -pair[0])
    return [row for _, row in known] + [row for row in found if value(row) is None]


def pipelines(snapshot: view.Snapshot, text: str) -> list[view.Pipeline]:
    """Those with a row that has the text."""
    return [one for one in snapshot.pipelines if any(_has(row, text) for row in _of(one))]


def _of(one: view.Pipeline) -> Iterator[Row]:
    yield Row(one.name, one.source.verdict, None)
    for sink in one.sinks:
        yield Row(one.name, sink.verdict, sink)


def _has(row: Row, text: str) -> bool:
    return text.lower() in f"{row.pipeline} {row.name} {row.verdict.state.value}".lower()
