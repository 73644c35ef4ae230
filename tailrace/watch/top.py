"""A snapshot for a terminal: a table that moves, or plain lines where there is none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tailrace.watch import view
from tailrace.watch.chosen import Choice, Row, rows
from tailrace.watch.states import State, Verdict
from tailrace.watch.words import number, rate, seconds, span

BLOCKS = "▁▂▃▄▅▆▇█"
COLUMNS = (
    *("pipeline", "sink", "state", "since", "behind", "lag", "", "in", "out"),
    *("slowest stage", "ready in"),
)
WORDS = ("pipeline", "sink", "state", "slowest stage")
FRAME = ("title", "rule", "columns", "rule", "rule", "caption", "keys")  # lines about the rows
KEYS = Text("s sort  r reverse  f filter  p pause  q quit", style="dim")
Lags = Mapping[tuple[str, str], Sequence[float | None]]
COLOURS = {
    State.OK: "green",
    State.IDLE: "green",
    State.CATCHING_UP: "cyan",
    State.SNAPSHOT: "cyan",
    State.PAUSED: "yellow",
    State.DEGRADED: "yellow",
    State.BEHIND: "yellow",
    State.UNKNOWN: "magenta",
}


def lines(found: Iterable[Row]) -> Iterator[str]:
    """One line for each; words, no colour."""
    for row in found:
        told = [row.pipeline, row.name, _words(row.verdict)]
        if sink := row.sink:
            told += [
                f"behind {number(sink.behind_records)}",
                f"lag {seconds(sink.lag_s)}",
                f"in {rate(sink.arrived_per_s)}",
                f"out {rate(sink.applied_per_s)}",
            ]
        yield "  ".join(told)


def picture(snapshot: view.Snapshot, choice: Choice, lags_s: Lags, height: int) -> Group:
    """The whole screen of so many lines. `lags_s`: the latest lags, for the sparklines."""
    found = rows(snapshot, choice)
    words = list(_to_do(snapshot, found))[: max(2, height // 3)]
    room = max(1, height - len(words) - len(FRAME))
    table = Table(title=_title(snapshot), caption=_caption(found, room, choice), expand=True)
    for title in COLUMNS:
        is_sorted = title == choice.sort
        mark = (" ▲" if choice.is_reversed else " ▼") if is_sorted else ""
        table.add_column(title + mark, justify="left" if title in WORDS else "right", no_wrap=True)
    for row in found[:room]:
        table.add_row(*_cells(row, lags_s, snapshot.at_s))
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in words), KEYS)


def _cells(row: Row, lags_s: Lags, now_s: float) -> Iterator[str | Text]:
    yield row.pipeline
    yield row.name
    yield _coloured(row.verdict)
    yield span(now_s - row.verdict.since_s)
    if sink := row.sink:
        way = sink.waterfall
        yield number(sink.behind_records)
        yield seconds(sink.lag_s)
        yield spark(lags_s.get((row.pipeline, sink.name), []))
        yield rate(sink.arrived_per_s)
        yield rate(sink.applied_per_s)
        yield "?" if way is None else f"{way.slowest} of {seconds(way.visible_s)}"
        yield "-" if sink.eta_s is None else span(sink.eta_s)


def _title(snapshot: view.Snapshot) -> str:
    who = snapshot.pipelines[0].name if len(snapshot.pipelines) == 1 else "pipelines"
    count = "" if len(snapshot.pipelines) == 1 else f"{len(snapshot.pipelines)} "
    return f"{count}{who}: {snapshot.worst.value}, a look every {seconds(snapshot.interval_s)}"


def _caption(found: Sequence[Row], room: int, choice: Choice) -> str | None:
    told = []
    if choice.is_paused:
        told.append("paused")
    if choice.text or choice.is_typing:
        told.append(f"filter: {choice.text}{'_' if choice.is_typing else ''}")
    if len(found) > room:
        told.append(f"{len(found) - room} more row(s)")
    return "; ".join(told) or None


def _to_do(snapshot: view.Snapshot, found: Iterable[Row]) -> Iterator[str]:
    """One cause is told once for a pipeline."""
    told = set()
    for row in found:
        if row.verdict.state.wants_a_word and (row.pipeline, row.verdict.reason) not in told:
            told.add((row.pipeline, row.verdict.reason))
            todo = f". Do: {row.verdict.todo}" if row.verdict.todo else ""
            yield f"{row.pipeline} {row.name}: {row.verdict.reason}{todo}"
    shown = {row.pipeline for row in found}
    clocks = [skew for one in snapshot.pipelines if one.name in shown for skew in one.skews]
    for skew in {skew.clock: skew for skew in clocks}.values():
        yield (
            f"The clock of {skew.clock} is {skew.ahead_s:+.1f} s from ours"
            f" (± {skew.within_s:.1f} s)."
        )


def _words(verdict: Verdict) -> str:
    return f"{verdict.state.value}: {verdict.reason}"


def _coloured(verdict: Verdict) -> Text:
    return Text(verdict.state.value, style=COLOURS.get(verdict.state, "red"))


def spark(values: Sequence[float | None]) -> str:
    """A bar a value, as high as the highest allows; · where it is not known."""
    highest = max((value for value in values if value is not None), default=0.0)
    top = len(BLOCKS) - 1
    return "".join(
        "·" if value is None else BLOCKS[round(value / highest * top) if highest else 0]
        for value in values
    )
