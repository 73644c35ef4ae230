"""`tailrace verify`: is each sink equal to the source, and if not, which rows differ?"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    import psycopg

    from tailrace.config import Pipeline
    from tailrace.verify import Difference, TableResult

_LINE_EVERY_S = 2.0


def verify(
    config: ConfigOption = DEFAULT_FILE,
    sink: Annotated[str | None, typer.Option(metavar="NAME", help="Only this one.")] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE", help="Only this one, like public.orders; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="The most rows to name for a table.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """
    Compare each sink with the source by checksums, and name the rows that differ.

    Let writing rest meanwhile: a change still on its way counts as a difference.
    Exit code 0: all equal; 1: something differs.
    """
    from tailrace.config import load
    from tailrace.exits import FAILED

    pipeline = load(config)
    results = {name: _one(pipeline, name, table, limit) for name in _chosen(pipeline, sink)}
    if json:
        _show_json(results)
    else:
        for name, tables in results.items():
            for line in _lines(name, tables):
                typer.echo(line)
    if not all(result.equal for tables in results.values() for result in tables):
        raise typer.Exit(FAILED)


def _chosen(pipeline: "Pipeline", sink: str | None) -> list[str]:
    from tailrace.exits import USAGE, Problem

    if sink is None:
        return list(pipeline.sinks)
    if sink not in pipeline.sinks:
        known = ", ".join(pipeline.sinks)
        raise Problem(
            "TR-VER-001", f"There is no sink {sink}; there are: {known}.", exit_code=USAGE
        )
    return [sink]


def _one(
    pipeline: "Pipeline", name: str, tables: list[str] | None, limit: int
) -> "list[TableResult]":
    import psycopg

    from tailrace import verify
    from tailrace.exits import TRY_AGAIN, USAGE, Problem

    sink = pipeline.sinks[name]
    for table in tables or ():
        if table not in sink.tables:
            raise Problem(
                "TR-VER-002",
                f"The sink {name} has no table {table}; it has: {', '.join(sink.tables)}.",
                exit_code=USAGE,
            )
    with (
        _connected("source", pipeline.source.dsn) as source,
        _connected(f"sink {name}", sink.dsn) as target,
        _progress() as progress,
    ):
        try:
            return verify.verify(source, target, tables or sink.tables, progress, limit=limit)
        except psycopg.Error as error:
            raise Problem(
                "TR-VER-004",
                f"A server broke the comparison off: {_first_line(error)}. Run it again.",
                exit_code=TRY_AGAIN,
            ) from None


@contextmanager
def _connected(what: str, dsn: str) -> "Iterator[psycopg.Connection[Any]]":
    import psycopg

    from tailrace.exits import Problem

    try:
        connection = psycopg.connect(dsn, autocommit=True, application_name="tailrace verify")
    except psycopg.Error as error:
        raise Problem(
            "TR-VER-003", f"The database of the {what} cannot be reached: {_first_line(error)}."
        ) from None
    with connection:
        yield connection


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; elsewhere a line every two seconds."""
    import sys

    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._rows: dict[str, int] = {}

    def __call__(self, table: str, done: int, expected: int) -> None:
        self._rows[table] = done
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_S:
            self._said = now
            rate = sum(self._rows.values()) / (now - self._began)
            typer.echo(f"{table}: {done:,} of {expected:,} rows, {rate:,.0f} rows/s", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    speed = TextColumn("{task.fields[rate]} rows/s")
    columns = (TextColumn("{task.description}"), BarColumn(), speed, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(table: str, done: int, expected: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, rate="")
            task = tasks[table]
            rate = f"{bar.tasks[task].speed or 0:,.0f}"
            bar.update(task, completed=done, total=expected, rate=rate)

        yield show


def _lines(sink: str, tables: "list[TableResult]") -> Iterator[str]:
    width = max(len(result.table) for result in tables)
    for result in tables:
        yield f"{sink}  {result.table:<{width}}  {_verdict(result)}"
        for difference in result.differences:
            yield f"    {_row(difference)}"
        rest = result.differing - len(result.differences)
        if rest:
            yield f"    and {rest:,} more"


def _verdict(result: "TableResult") -> str:
    if result.problem:
        return f"not compared: {result.problem}"
    rows = f"{result.source_rows:,} rows in {result.seconds:.1f} s"
    if result.equal:
        return f"equal      {rows}"
    return (
        f"DIFFERENT  {rows}, {result.target_rows:,} in the sink:"
        f" {result.missing:,} missing, {result.extra:,} extra, {result.changed:,} changed"
    )


def _row(difference: "Difference") -> str:
    key = ", ".join(f"{name}={value}" for name, value in difference.key.items())
    columns = f": {', '.join(difference.columns)}" if difference.columns else ""
    return f"{difference.kind:<8} {key}{columns}"


def _show_json(results: "Mapping[str, list[TableResult]]") -> None:
    import msgspec

    found = {
        name: [{"equal": result.equal, **msgspec.to_builtins(result)} for result in tables]
        for name, tables in results.items()
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(found).decode(), indent=2))
