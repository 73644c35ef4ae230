"""
The command line. Each command group lives in a module of its own under `tailrace/commands/`
and imports what it needs inside its functions, so that `--help` stays fast.
"""

import sys

import typer

from tailrace.commands import (
    actions,
    config,
    connector,
    dashboard,
    demo,
    doctor,
    lag,
    parked,
    run,
    schema,
    stack,
    top,
    trace,
    verify,
)

typer.core.HAS_RICH = False  # else plain help shows escapes that are meant for rich

app = typer.Typer(
    name="tailrace",
    help="Keeps other systems in step with a Postgres database, exactly once in effect.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(config.app, name="config")
app.add_typer(connector.app, name="connector")
app.add_typer(parked.app, name="parked")
app.add_typer(schema.app, name="schema")
app.add_typer(stack.app, name="stack")
app.command()(verify.verify)
app.command()(lag.lag)
app.command()(top.top)
app.command()(dashboard.dashboard)
app.command()(actions.actions)
app.command()(trace.trace)
app.command()(doctor.doctor)
app.command()(run.run)
app.command()(demo.demo)


def main() -> None:
    """The entry point: a problem that a person can mend ends as a sentence, not a traceback."""
    from tailrace.exits import Problem

    try:
        app()
    except Problem as problem:
        typer.echo(f"tailrace: {problem}", err=True)
        sys.exit(problem.exit_code)
