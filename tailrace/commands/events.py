"""`tailrace events`: contracts, outbox, streams and the proof of them, put together here."""

import typer

from tailrace.commands import events_audit, events_contracts, events_create, events_outbox

app = typer.Typer(
    help="Contracts, outbox and event store: what may happen, what did, and the proof.",
    no_args_is_help=True,
)
app.add_typer(events_contracts.app)
app.command("create")(events_create.create)
app.command("outbox-prune")(events_outbox.prune)
for name, command in events_audit.COMMANDS.items():
    app.command(name)(command)
