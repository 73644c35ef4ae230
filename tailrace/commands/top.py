"""`tailrace top`: how pipelines are, second by second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.several import DEFAULT_FILES, ConfigsOption, watched

if TYPE_CHECKING:
    from rich.live import Live

    from tailrace.keys import Read
    from tailrace.watch.chosen import Choice
    from tailrace.watch.sampler import Sampler
    from tailrace.watch.view import Snapshot

SHOWN_LAGS = 20
SORTS = ("state", "lag", "behind", "in", "out")


def top(
    config: ConfigsOption = DEFAULT_FILES,
    sort: Annotated[
        str | None, typer.Option(help=f"What is highest comes first: {', '.join(SORTS)}.")
    ] = None,
    filter_: Annotated[
        str, typer.Option("--filter", help="Only rows with this in pipeline, sink or state.")
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="A line of JSON a look for each pipeline.")
    ] = False,
    seconds: Annotated[
        int | None, typer.Option("--for", metavar="SECONDS", min=1, help="End after so long.")
    ] = None,
) -> None:
    """
    State, lag, rates and the slowest stage of each sink, until Ctrl-C.

    What is not known is a ?, never 0. On a terminal keys work: s sorts by the next column, r
    turns the order, f filters by what is typed until Enter (Esc: no filter), p pauses, q quits.
    Without a terminal: a line a second for sources and sinks.
    """
    import sys

    from tailrace.watch.chosen import Choice
    from tailrace.watch.sampler import Sampler

    if sort is not None and sort not in SORTS:
        raise typer.BadParameter(f"{sort}: there are {', '.join(SORTS)}.", param_hint="--sort")
    choice = Choice(sort, text=filter_)
    sampler = Sampler(watched(config))
    try:
        if sys.stdout.isatty() and not json:
            _move(sampler, choice, seconds)
        else:
            _tell(sampler, choice, seconds, json=json)
    finally:
        sampler.stop()


def _tell(sampler: Sampler, choice: Choice, looks: int | None, *, json: bool) -> None:
    import time
    from itertools import count

    import msgspec

    from tailrace.watch import chosen
    from tailrace.watch.top import lines

    for number in count(1):
        time.sleep(sampler.interval_s)
        snapshot = sampler.look()
        if json:
            for one in chosen.pipelines(snapshot, choice.text):
                typer.echo(msgspec.json.encode(one).decode())
        else:
            typer.echo("\n".join(lines(chosen.rows(snapshot, choice))))
        if number == looks:
            return


def _move(sampler: Sampler, choice: Choice, looks: int | None) -> None:
    import sys
    from dataclasses import replace

    from rich.console import Console
    from rich.live import Live

    from tailrace.keys import keys

    console = Console()
    choice = replace(choice, sort=choice.sort or "state")
    with (
        keys(sys.stdin.fileno()) as read,
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        _show(sampler, choice, looks, read, live)


def _show(sampler: Sampler, choice: Choice, looks: int | None, read: Read, live: Live) -> None:
    """Until enough looks were shown, or a key ends it."""
    import time

    from tailrace.watch import chosen
    from tailrace.watch.top import picture

    lags_s: dict[tuple[str, str], list[float | None]] = {}
    shown, snapshot = 0, sampler.look()
    wanted: Choice | None = choice
    look_at_s = time.monotonic() + sampler.interval_s
    while wanted is not None and shown != looks:
        live.update(picture(snapshot, wanted, lags_s, live.console.height), refresh=True)
        for key in read(look_at_s - time.monotonic()):
            wanted = chosen.pressed(wanted, key) if wanted else None
        if time.monotonic() >= look_at_s:
            look_at_s = time.monotonic() + sampler.interval_s
            if wanted and not wanted.is_paused:
                snapshot, shown = sampler.look(), shown + 1
                _keep_lags(snapshot, lags_s)


def _keep_lags(snapshot: Snapshot, lags_s: dict[tuple[str, str], list[float | None]]) -> None:
    for one in snapshot.pipelines:
        for sink in one.sinks:
            kept = lags_s.setdefault((one.name, sink.name), [])
            kept.append(sink.lag_s)
            del kept[:-SHOWN_LAGS]
