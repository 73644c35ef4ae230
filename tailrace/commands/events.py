"""`tailrace events`: contracts of events and what is stored of them, put together here."""

import typer

from tailrace.commands import events_contracts, events_outbox

app = typer.Typer(
    help="Events: what may be published, who reads it, and what was stored.", no_args_is_help=True
)
app.add_typer(events_contracts.app)
app.command("outbox-create")(events_outbox.create)
app.command("outbox-prune")(events_outbox.prune)
