"""A snapshot for a terminal: a table that moves, or plain lines where there is none."""

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tailrace.watch import view
from tailrace.watch.states import State, Verdict
from tailrace.watch.words import number, rate, seconds, span

BLOCKS = "▁▂▃▄▅▆▇█"
COLUMNS = ("sink", "state", "since", "behind", "lag", "", "in", "out", "slowest stage", "ready in")
WORDS = ("sink", "state", "slowest stage")
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


def lines(pipeline: view.Pipeline) -> Iterator[str]:
    """One line for the source and one for each sink; words, no colour."""
    source = pipeline.source
    yield f"{pipeline.name}  source  {_words(source.verdict)}"
    for sink in pipeline.sinks:
        yield "  ".join(
            [
                pipeline.name,
                sink.name,
                _words(sink.verdict),
                f"behind {number(sink.behind_records)}",
                f"lag {seconds(sink.lag_s)}",
                f"in {rate(sink.arrived_per_s)}",
                f"out {rate(sink.applied_per_s)}",
            ]
        )


def picture(pipeline: view.Pipeline, lags_s: dict[str, list[float | None]], now_s: float) -> Group:
    """The whole screen. `lags_s`: of each sink the latest lags, for its sparkline."""
    table = Table(title=f"{pipeline.name}: {pipeline.verdict.state.value}", expand=True)
    for title in COLUMNS:
        table.add_column(title, justify="left" if title in WORDS else "right")
    for sink in pipeline.sinks:
        way = sink.waterfall
        table.add_row(
            sink.name,
            _coloured(sink.verdict),
            span(now_s - sink.verdict.since_s),
            number(sink.behind_records),
            seconds(sink.lag_s),
            spark(lags_s.get(sink.name, [])),
            rate(sink.arrived_per_s),
            rate(sink.applied_per_s),
            "?" if way is None else f"{way.slowest} of {seconds(way.visible_s)}",
            "-" if sink.eta_s is None else span(sink.eta_s),
        )
    source = Table.grid(padding=(0, 2))
    source.add_row("source", _coloured(pipeline.source.verdict), pipeline.source.verdict.reason)
    told = [source, table]
    return Group(*told, *(Text(line) for line in _to_do(pipeline)))


def _to_do(pipeline: view.Pipeline) -> Iterator[str]:
    verdicts = {"source": pipeline.source.verdict} | {s.name: s.verdict for s in pipeline.sinks}
    for name, verdict in verdicts.items():
        if verdict.state.is_wrong or verdict.state is State.PAUSED:
            todo = f". Do: {verdict.todo}" if verdict.todo else ""
            yield f"{name}: {verdict.reason}{todo}"
    for skew in pipeline.skews:
        yield (
            f"The clock of {skew.clock} is {skew.ahead_s:+.1f} s from ours"
            f" (± {skew.within_s:.1f} s)."
        )


def _words(verdict: Verdict) -> str:
    return f"{verdict.state.value}: {verdict.reason}"


def _coloured(verdict: Verdict) -> Text:
    return Text(verdict.state.value, style=COLOURS.get(verdict.state, "red"))


def spark(values: list[float | None]) -> str:
    """A bar a value, as high as the highest allows; · where it is not known."""
    highest = max((value for value in values if value is not None), default=0.0)
    top = len(BLOCKS) - 1
    return "".join(
        "·" if value is None else BLOCKS[round(value / highest * top) if highest else 0]
        for value in values
    )
