"""Which letters an operator means, before anything is done about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.config import Pipeline
from tailrace.exits import Problem
from tailrace.parked.letter import kind_of
from tailrace.parked.letters import opened


@dataclass(frozen=True, slots=True)
class Choice:
    """Open letters of one sink by number, each with its repeats; `by` says how they were chosen."""

    sink: str
    log: str
    by: str
    letters: Mapping[int, tuple[int, ...]]


def choose(
    pipeline: Pipeline, sink: str, *, numbers: Sequence[int] = (), kind: str | None = None
) -> Choice:
    """
    The open letters of these numbers, or those whose kind has `kind` in it, or all.

    Raises Problem (TR-PRK-002) for a number that is not there or not open; Away.
    """
    wanted = frozenset(numbers)
    letters: dict[int, tuple[int, ...]] = {}
    first_of: dict[int, int] = {}
    resolved: dict[int, str] = {}
    with opened(pipeline, sink) as drawer:
        for each, resolution, repeats in drawer.walk() if drawer else ():
            if resolution is not None:
                if each.number in wanted:
                    resolved[each.number] = resolution.outcome
            elif repeats is not None:
                first_of[each.number] = repeats
                if repeats in letters:
                    letters[repeats] = (*letters[repeats], each.number)
            elif wanted or kind is None or kind in kind_of(each.reason):
                letters[each.number] = ()
        log = drawer.log if drawer else ""
    if not wanted:
        by = "all" if kind is None else f"kind: {kind}"
        return Choice(sink, log, by, letters)
    named = {first_of.get(number, number) for number in wanted}
    _refuse_unknown(sink, sorted(named - letters.keys()), resolved)
    return Choice(sink, log, "numbers", {n: letters[n] for n in sorted(named)})


def _refuse_unknown(sink: str, missing: Sequence[int], resolved: Mapping[int, str]) -> None:
    if missing:
        told = ", ".join(f"{n} ({resolved.get(n, 'there is none')})" for n in missing[:10])
        raise Problem(
            "TR-PRK-002",
            f"Not among the open letters of sink {sink}: {told}. Nothing was done; `parked list`"
            " shows what is open.",
        )
