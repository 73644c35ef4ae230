"""`tailrace events create`: the tables that hold events."""

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption


def create(config: ConfigOption = DEFAULT_FILE) -> None:
    """Make the event store and the outbox in the source, those that source.tables names."""
    import psycopg

    from connectors.spec import OUTBOX
    from eventstore import outbox, store
    from tailrace.config import EVENTS, load
    from tailrace.databases import connect, why
    from tailrace.exits import FAILED, USAGE, Problem

    makers = {EVENTS: store.create_schema, OUTBOX: outbox.create_schema}
    pipeline = load(config)
    wanted = [table for table in makers if table in pipeline.source.tables]
    if not wanted:
        raise Problem(
            "TR-EVT-053",
            f"source.tables names none of {', '.join(makers)}; add what you want to use.",
            exit_code=USAGE,
        )
    try:
        with connect(pipeline.source.dsn, "source database") as connection:
            for table in wanted:
                makers[table](connection)
    except psycopg.Error as error:
        told = f"The source refused it: {why(error)}. Its role needs the right to create schemas."
        raise Problem("TR-EVT-052", told, exit_code=FAILED) from error
    typer.echo(f"{' and '.join(wanted)}: there", err=True)
