"""What the commands on the event store share: its database, and how they print."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from tailrace.config import Pipeline
    from tailrace.databases import Connection
    from tailrace.exits import Problem

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


@contextmanager
def source(
    pipeline: "Pipeline", missing: "Problem | None", refused: tuple[str, str]
) -> "Iterator[Connection]":
    """
    The source database. Raises `missing` where the block misses a table, and Problem of the code
    and sentence of `refused`, with the server's words for {why}, for what else it refuses.
    """
    import psycopg

    from tailrace.databases import connect, why
    from tailrace.exits import Problem

    try:
        with connect(pipeline.source.dsn, "source database") as connection:
            yield connection
    except psycopg.Error as error:
        undefined = psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName
        if missing is not None and isinstance(error, undefined):
            raise missing from error
        code, sentence = refused
        raise Problem(code, sentence.format(why=why(error))) from error


@contextmanager
def store(config: Path, *, writes: bool = False) -> "Iterator[Connection]":
    """The source database. Raises Problem for what can be mended, in the block, too."""
    from eventstore.contracts import Invalid
    from tailrace.config import load
    from tailrace.exits import Problem

    missing = Problem(
        "TR-EVT-023",
        "The source database has no event store, or only a part of it: run"
        " `tailrace events create`.",
    )
    refused = "TR-EVT-024", "The event store cannot be used: {why}."
    try:
        with source(load(config), missing, refused) as connection:
            connection.read_only = not writes
            yield connection
    except Invalid as error:
        raise Problem(
            "TR-EVT-025", f"An event cannot be read: {error}. Its code or its data is at fault."
        ) from error


def there(tx: "Connection", stream: str) -> None:
    """Raises Problem (TR-EVT-020) where there is no such stream."""
    from eventstore.store import length
    from tailrace.exits import Problem

    if not length(tx, stream):
        raise Problem(
            "TR-EVT-020", f"There is no stream {stream!r:.80}. Streams are named like account-42."
        )


def echo(line: str) -> None:
    """A line for people, in which nothing moves the cursor."""
    from tailrace.parked.plain import plain

    typer.echo(plain(line))


def echo_json(found: Any) -> None:
    """As `--json` shows it."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def moment(text: str, option: str) -> "datetime":
    """A time that an option gives, UTC without a zone. Raises Problem (TR-EVT-022)."""
    from datetime import UTC, datetime

    from tailrace.exits import USAGE, Problem

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(
            "TR-EVT-022",
            f"{option} must be a time like 2026-01-31T12:00, not {text!r:.60}.",
            exit_code=USAGE,
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
