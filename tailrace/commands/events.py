"""`tailrace events`: contracts, streams, and what can be proved about them."""

import typer

from tailrace.commands import events_audit

app = typer.Typer(
    help="The event store: what happened, the state as of then, and the proof of both.",
    no_args_is_help=True,
)

for name, command in events_audit.COMMANDS.items():
    app.command(name)(command)
