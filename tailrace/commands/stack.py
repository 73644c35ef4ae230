"""`tailrace stack`: the embedded stack alone."""

import typer

app = typer.Typer(help="The embedded stack: Kafka, Connect, Postgres, Valkey on loopback.")
