"""`tailrace events`: contracts of events and what is stored of them, put together here."""

import typer

from tailrace.commands import events_contracts

app = typer.Typer(
    help="Events: what may be published, who reads it, and what was stored.", no_args_is_help=True
)
app.add_typer(events_contracts.app)
