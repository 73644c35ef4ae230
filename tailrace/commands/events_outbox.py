"""`tailrace events outbox-…`: the outbox of a pipeline's source."""

from typing import Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.events_store import source


def prune(
    config: ConfigOption = DEFAULT_FILE,
    keep_days: Annotated[int, typer.Option(min=1, max=5, help="Days to keep before today.")] = 1,
    within: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the connector.")
    ] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    Empty the days of the outbox that have passed and are durable in Kafka for sure.

    Exit code 75: something lags, nothing was emptied; say it again later.
    """
    from eventstore import outbox
    from tailrace.config import load
    from tailrace.exits import TRY_AGAIN, Problem
    from tailrace.source import spec_of

    pipeline = load(config)
    slot = spec_of(pipeline).slot
    missing = Problem(
        "TR-EVT-051", "The source has no outbox: make it with `tailrace events create`."
    )
    refused = (
        "TR-EVT-052",
        "The source refused it: {why}. The outbox is its maker's to change.",
    )
    with source(pipeline, missing, refused) as connection:
        connection.autocommit = True
        try:
            days = outbox.prune(connection, slot, keep_days=keep_days, within_s=within)
        except outbox.NotConfirmed as waits:
            sentence = f"The outbox stays as it is: {waits}."
            raise Problem("TR-EVT-050", sentence, exit_code=TRY_AGAIN) from waits
    if json:
        import msgspec

        typer.echo(msgspec.json.encode({"emptied_days": days}).decode())
    else:
        typer.echo(f"{days} day(s) emptied", err=True)
