"""
The command line. Each command lives in a module of its name under `tailrace/commands/`: a function
of that name, or a Typer `app` of several. It is imported when it is called, and imports what it
needs inside its functions, so that `--help` stays fast.
"""

import sys
from collections.abc import Mapping
from typing import Any

import click

COMMANDS: Mapping[str, str] = {
    "actions": ("Who did what to the pipeline, when, why, and what came of it; the newest first."),
    "config": "The pipeline file: start one, show what holds, print its schema.",
    "connector": "The source connector: what it needs, a plan, then exactly that.",
    "events": "Contracts, outbox and event store: what may happen, what did, and the proof.",
    "parked": "Records that a sink refused: look, apply them again, or give them up.",
    "sagas": "Sagas as they are written: check them, draw them.",
    "schema": "Target tables from the source's catalogue: a plan, then exactly that.",
    "stack": "Kafka, Connect, Postgres and Redis on loopback, for development.",
    "projections": "Read models of an event store: build, compare, switch, drop.",
    "supervise": "What needs somebody: sagas, and destinations that differ; and what to do.",
    "verify": "Compare each sink with the source by checksums, and name the rows that differ.",
    "lag": (
        "How far each sink is behind: records in Kafka that it has not applied, and the oldest"
        " one's age."
    ),
    "top": "State, lag, rates and the slowest stage of each sink, until Ctrl-C.",
    "dashboard": "Serve the lag dashboard for one or more pipelines until stopped.",
    "trace": (
        "When a change was committed, decoded, appended, polled and applied, and what its row is"
        " now."
    ),
    "doctor": ("Look at everything that the pipeline needs, and say what to do where it is amiss."),
    "run": ("Apply changes until stopped: a process for each worker of each sink, or one of them."),
    "demo": "Real servers under load: a shop that is mirrored, or tours that are booked (sagas).",
}
"""Each command with the first line of its help, so that the list needs no command's module."""


class Commands(click.Group):
    """All of COMMANDS, none of which is imported before it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load(name) if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from click.utils import make_default_short_help

        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, make_default_short_help(says, limit)) for name, says in COMMANDS.items()]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            if near := get_close_matches(args[0], COMMANDS, n=1):
                error.message = f"{error.message.rstrip('.')}. Did you mean {near[0]!r}?"
            raise


def load(name: str) -> click.Command:
    """The command of that name in COMMANDS, with its module imported."""
    from importlib import import_module

    import typer.core
    from typer.main import get_command, get_group

    typer.core.HAS_RICH = False  # else plain help shows escapes that are meant for rich
    module: Any = import_module(f"tailrace.commands.{name}")
    if hasattr(module, "app"):
        return get_group(module.app)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(getattr(module, name))
    return get_command(single)


app = Commands(
    name="tailrace",
    help="Keeps other systems in step with a Postgres database, exactly once in effect.",
    no_args_is_help=True,
)


def main() -> None:
    """The entry point: a problem that a person can mend ends as a sentence, not a traceback."""
    from tailrace.exits import Problem

    try:
        app(prog_name="tailrace")
    except Problem as problem:
        click.echo(f"tailrace: {problem}", err=True)
        sys.exit(problem.exit_code)
