"""`tailrace verify`: is each sink equal to the source, and if not, which rows differ?"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.config import DEFAULT_FILE, ConfigOption

if TYPE_CHECKING:
    from tailrace.config import Pipeline
    from tailrace.progress import Listener
    from tailrace.verify import Difference, TableResult


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
    from tailrace.config import chosen, load
    from tailrace.exits import FAILED

    pipeline = load(config)
    results = {}
    for name, settings in chosen(pipeline, sink).items():
        if settings.tables:
            results[name] = _one(pipeline, name, table or [], limit)
        else:
            typer.echo(
                f"sink {name}: it mirrors no table, so there is nothing to compare", err=True
            )
    if json:
        _show_json(results)
    else:
        for name, tables in results.items():
            for line in _lines(name, tables):
                typer.echo(line)
    if not all(result.equal for tables in results.values() for result in tables):
        raise typer.Exit(FAILED)


def _one(pipeline: "Pipeline", name: str, tables: list[str], limit: int) -> "list[TableResult]":
    import psycopg

    from tailrace import verify
    from tailrace.databases import connect, why
    from tailrace.exits import FAILED, USAGE, Problem
    from tailrace.progress import shown

    sink = pipeline.sinks[name]
    for table in tables:
        if table not in sink.tables:
            raise Problem(
                "TR-VER-001",
                f"The sink {name} has no table {table}; it has {', '.join(sink.tables)}.",
                exit_code=USAGE,
            )
    with (
        connect(pipeline.source.dsn, "source database") as source,
        connect(sink.dsn, f"database of sink {name}") as target,
        shown() as listener,
    ):
        progress = _telling(listener)
        try:
            return verify.verify(source, target, tables or sink.tables, progress, limit=limit)
        except psycopg.Error as error:
            raise Problem(
                "TR-VER-002",
                f"A server did not let its rows be compared: {why(error)}."
                " Reading all of the tables is all that is needed.",
                exit_code=FAILED,
            ) from error


def _telling(listener: "Listener") -> Callable[[str, int, int], None]:
    began: dict[str, float] = {}

    def progress(table: str, done: int, expected: int) -> None:
        began_s = began.setdefault(table, time.monotonic())
        seconds = time.monotonic() - began_s
        rate = done / seconds if seconds else 0.0
        left = f", {(expected - done) / rate:.0f} s left" if rate else ""
        listener(table, f"compared {done:,} of {expected:,} rows, {rate:,.0f} rows/s{left}")

    return progress


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
