"""`tailrace actions`: what operators did to a pipeline."""

from typing import Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption


def actions(
    config: ConfigOption = DEFAULT_FILE,
    limit: Annotated[int, typer.Option(min=1, help="The most to list.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    Who did what to the pipeline, when, why, and what came of it; the newest first.

    An outcome of ? is not known: the act is under way, or was cut off.
    """
    import msgspec

    from tailrace.actions import Actions, log_of
    from tailrace.config import load
    from tailrace.parked.plain import plain
    from tailrace.source import spec_of

    pipeline = load(config)
    found = log_of(pipeline, spec_of(pipeline)).recent(limit)
    if json:
        text = msgspec.json.format(msgspec.json.encode(Actions(tuple(found))), indent=2)
        typer.echo(text.decode())
        return
    for entry in found:
        at = entry.at.strftime("%Y-%m-%d %H:%M:%SZ")
        typer.echo(
            plain(
                f"{entry.id:>5}  {at}  {entry.actor} ({entry.via})  {entry.action} {entry.target}:"
                f" {entry.outcome or '?'}"
            )
        )
        if entry.reason:
            typer.echo(plain(f"       because: {entry.reason}"))
