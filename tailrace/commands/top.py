"""`tailrace top`: how a pipeline is, second by second."""

from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from tailrace.watch.view import Pipeline

SHOWN_LAGS = 20


def top(
    config: ConfigOption = DEFAULT_FILE,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON a second.")] = False,
    seconds: Annotated[
        int | None, typer.Option("--for", metavar="SECONDS", min=1, help="End after so long.")
    ] = None,
) -> None:
    """
    State, lag, rates and the slowest stage of each sink, until Ctrl-C.

    What is not known is a ?, never 0. Without a terminal: a line a second for source and sinks.
    """
    import sys
    import time
    from itertools import count

    import msgspec
    from rich.console import Console
    from rich.live import Live

    from tailrace.config import load
    from tailrace.source import spec_of
    from tailrace.watch.sampler import Sampler
    from tailrace.watch.servers import Watched
    from tailrace.watch.top import lines, picture

    pipeline = load(config)
    sampler = Sampler([Watched(pipeline, spec_of(pipeline))])
    lags_s: dict[str, list[float | None]] = {}
    moving = sys.stdout.isatty() and not json
    with Live(console=Console(), auto_refresh=False, screen=moving) as live:
        for number in count(1):
            time.sleep(sampler.interval_s)
            found = sampler.look().pipelines[0]
            _keep_lags(found, lags_s)
            if moving:
                live.update(picture(found, lags_s, time.time()), refresh=True)
            elif json:
                typer.echo(msgspec.json.encode(found).decode())
            else:
                typer.echo("\n".join(lines(found)))
            if number == seconds:
                break
    sampler.stop()


def _keep_lags(found: "Pipeline", lags_s: dict[str, list[float | None]]) -> None:
    for sink in found.sinks:
        kept = lags_s.setdefault(sink.name, [])
        kept.append(sink.lag_s)
        del kept[:-SHOWN_LAGS]
