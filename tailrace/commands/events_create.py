"""`tailrace events create`: the tables that hold events."""

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption
from tailrace.commands.events_store import source


def create(config: ConfigOption = DEFAULT_FILE) -> None:
    """Make the event store and the outbox in the source, those that source.tables names."""
    from connectors.spec import OUTBOX
    from eventstore import outbox, store
    from tailrace.config import EVENTS, load
    from tailrace.exits import USAGE, Problem

    makers = {EVENTS: store.create_schema, OUTBOX: outbox.create_schema}
    pipeline = load(config)
    wanted = [table for table in makers if table in pipeline.source.tables]
    if not wanted:
        raise Problem(
            "TR-EVT-053",
            f"source.tables names none of {', '.join(makers)}; add what you want to use.",
            exit_code=USAGE,
        )
    refused = (
        "TR-EVT-052",
        "The source refused it: {why}. Its role needs the right to create schemas.",
    )
    with source(pipeline, None, refused) as connection:
        for table in wanted:
            makers[table](connection)
    typer.echo(f"{' and '.join(wanted)}: there", err=True)
