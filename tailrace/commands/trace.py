"""`tailrace trace`: the life of one change, from its commit to the row that it became."""

from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.progress import Listener


def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="An LSN (0/1A2B3C), an event id (32 hex digits), or a key: 42, id=42, orders:42,"
            " or JSON for one of several columns. Behind -- where it begins with a -.",
        ),
    ],
    config: ConfigOption = DEFAULT_FILE,
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Only this one, like public.orders.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How far back, like 30m or 2h; else the newest million records."
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="The most changes to show, the newest.")] = 10,
    values: Annotated[
        bool, typer.Option("--values", help="The rows before and after it, too: maybe private.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    When a change was committed, decoded, appended, polled and applied, and what its row is now.

    Only reads. Times are UTC. Exit code 0: found; 1: not found where it was searched.
    """
    import time

    import msgspec

    from tailrace.commands.lag import seconds
    from tailrace.config import load
    from tailrace.exits import FAILED
    from tailrace.progress import shown
    from tailrace.source import spec_of
    from tailrace.trace.find import find
    from tailrace.trace.lines import not_found, timeline

    since_s = None if since is None else time.time() - seconds(since, "--since")
    pipeline = load(config)
    with shown() as listener:
        found = find(
            pipeline,
            spec_of(pipeline),
            what,
            table=table,
            since_s=since_s,
            last=last,
            with_values=values,
            progress=_telling(listener),
        )
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found).decode(), indent=2))
    else:
        for line in timeline(found):
            typer.echo(line)
    if found.short:
        typer.echo(found.short, err=True)
    if not found.changes:
        typer.echo(not_found(found), err=True)
        raise typer.Exit(FAILED)


def _telling(listener: "Listener") -> "Callable[[int, int], None]":
    def progress(done: int, total: int) -> None:
        listener("kafka", f"searched {done:,} of {total:,} records")

    return progress
