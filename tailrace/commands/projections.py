"""`tailrace projections`: read models of an event store, version beside version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import psycopg

    from eventstore.projection import Projection
    from eventstore.versions import Difference
    from tailrace.config import Pipeline, ProjectionSink

app = typer.Typer(help="Read models of an event store: build, compare, switch, drop.")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The pipeline file.")]
SinkArgument = Annotated[str, typer.Argument(help="The sink of type projection.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
DEFAULT_FILE = Path("pipeline.yaml")
LEVEL_WITHIN_S = 30.0


@app.command("list")
def list_(config: ConfigOption = DEFAULT_FILE, json: JsonOption = False) -> None:
    """The versions that there are, and which one readers see."""
    from eventstore.versions import listed
    from tailrace.wiring import group_of

    pipeline = _pipeline(config)
    found: list[dict[str, Any]] = []
    for name in _sinks(pipeline):
        with _database(pipeline, name) as connection:
            build = listed(connection).get(group_of(pipeline, name))
        fields = build._asdict() if build else {"state": "not built"}
        found.append({"sink": name, **fields})
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        shown = "live" if one.get("is_live") else one["state"]
        version = f"{one['projection']} v{one['version']}" if "projection" in one else "?"
        typer.echo(f"{one['sink']:<24} {version:<32} {shown}")


@app.command()
def build(sink: SinkArgument, config: ConfigOption = DEFAULT_FILE) -> None:
    """Fill a version from the event store, beside the one that readers see."""
    from consumer.errors import Busy
    from eventstore.rebuild import Filled
    from eventstore.rebuild import build as fill
    from tailrace.exits import FAILED, Problem
    from tailrace.logs import log_reader
    from tailrace.progress import shown
    from tailrace.wiring import group_of, topics_of

    pipeline = _pipeline(config)
    settings, projection = _declared(pipeline, sink)
    (topic,) = topics_of(pipeline, sink)
    with shown() as tell, log_reader(pipeline.kafka) as log:

        def progress(done: int, of: int) -> None:
            tell(sink, f"{done:,} of {of:,} events" if of else "there are no events yet")

        try:
            count = fill(
                settings.dsn,
                pipeline.source.dsn,
                group_of(pipeline, sink),
                projection,
                lambda: log.ends(topic),
                progress,
            )
        except (Filled, Busy) as error:
            raise Problem("TR-EVT-081", f"{error}.", exit_code=FAILED) from error
    typer.echo(f"{projection.schema}: built of {count:,} events", err=True)


@app.command()
def compare(
    sink: SinkArgument, config: ConfigOption = DEFAULT_FILE, json: JsonOption = False
) -> None:
    """Hold a version against the one that readers see, row by row; 1 when they differ."""
    from tailrace.exits import FAILED

    pipeline = _pipeline(config)
    with _database(pipeline, sink) as connection:
        found = _compared(connection, pipeline, sink)
    if json:
        import msgspec

        typer.echo(msgspec.json.encode([one._asdict() for one in found]).decode())
    else:
        for one in found:
            typer.echo(_line(one))
    if any(one.only_live != 0 or one.only_new != 0 for one in found):
        raise typer.Exit(FAILED)


@app.command()
def switch(
    sink: SinkArgument,
    config: ConfigOption = DEFAULT_FILE,
    differing: Annotated[
        bool, typer.Option("--differing", help="Also where its rows differ, as they are meant to.")
    ] = False,
) -> None:
    """Let readers see this version: all of its tables in one transaction."""
    from eventstore import versions
    from tailrace.exits import FAILED, Problem
    from tailrace.wiring import group_of

    pipeline = _pipeline(config)
    group = group_of(pipeline, sink)
    with _database(pipeline, sink) as connection:
        build = _built(connection, pipeline, sink)
        if build.is_live:
            typer.echo(f"Readers see {build.schema} already.", err=True)
            return
        found = _compared(connection, pipeline, sink)
        apart = [one for one in found if one.only_live != 0 or one.only_new != 0]
        if apart and not differing:
            raise Problem(
                "TR-EVT-082",
                f"{build.schema} differs from what readers see: {'; '.join(map(_line, apart))}."
                " If that is meant, say --differing.",
                exit_code=FAILED,
            )
        connection.commit()
        versions.switch(connection, group)
        connection.commit()
    typer.echo(f"Readers see {build.schema} now.", err=True)


@app.command()
def drop(sink: SinkArgument, config: ConfigOption = DEFAULT_FILE) -> None:
    """Drop a version that readers do not see. Stop its workers first."""
    from eventstore import versions
    from tailrace.exits import FAILED, Problem
    from tailrace.wiring import group_of

    pipeline = _pipeline(config)
    group = group_of(pipeline, sink)
    with _database(pipeline, sink) as connection:
        build = versions.find(connection, group)
        if build is not None and build.is_live:
            raise Problem(
                "TR-EVT-083",
                f"Readers see {build.schema}: switch to another version first.",
                exit_code=FAILED,
            )
        versions.drop(connection, group)
        connection.commit()
    gone = build.schema if build else "There was nothing to drop, and nothing"
    typer.echo(f"{gone} is gone.", err=True)


def _pipeline(config: Path) -> "Pipeline":
    from tailrace.config import load

    return load(config)


def _sinks(pipeline: "Pipeline") -> "dict[str, ProjectionSink]":
    from tailrace.config import ProjectionSink

    return {n: each for n, each in pipeline.sinks.items() if isinstance(each, ProjectionSink)}


def _declared(pipeline: "Pipeline", sink: str) -> "tuple[ProjectionSink, Projection]":
    from eventstore.projection import Projection
    from tailrace import named
    from tailrace.exits import USAGE, Problem

    sinks = _sinks(pipeline)
    if sink not in sinks:
        raise Problem(
            "TR-EVT-080",
            f"There is no sink {sink} of type projection; there is {', '.join(sinks) or 'none'}.",
            exit_code=USAGE,
        )
    return sinks[sink], named.load(sinks[sink].module, Projection)


def _database(pipeline: "Pipeline", sink: str) -> Any:
    from tailrace.databases import connect

    settings, _ = _declared(pipeline, sink)
    return connect(settings.dsn, f"database of sink {sink}")


def _built(connection: "psycopg.Connection[Any]", pipeline: "Pipeline", sink: str) -> Any:
    from eventstore import versions
    from tailrace.exits import FAILED, Problem
    from tailrace.wiring import group_of

    found = versions.find(connection, group_of(pipeline, sink))
    if found is None or found.state != "built":
        raise Problem(
            "TR-EVT-084",
            f"The version of sink {sink} is not built: run `tailrace projections build {sink}`.",
            exit_code=FAILED,
        )
    return found


def _compared(
    connection: "psycopg.Connection[Any]", pipeline: "Pipeline", sink: str
) -> "list[Difference]":
    """In a snapshot in which both versions have had the same events; waits for one."""
    import time

    from eventstore import versions
    from tailrace.exits import TRY_AGAIN, Problem
    from tailrace.wiring import group_of

    build = _built(connection, pipeline, sink)
    shown = versions.live(connection, build.projection)
    assert shown is not None
    until_s = time.monotonic() + LEVEL_WITHIN_S
    while time.monotonic() < until_s:
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if versions.are_level(connection, group_of(pipeline, sink), shown[0]):
            return list(versions.differences(connection, shown[1], build))
        time.sleep(0.02)
    raise Problem(
        "TR-EVT-085",
        f"The versions had not had the same events at any moment of {LEVEL_WITHIN_S:.0f} s, so "
        "they cannot be compared: let the workers of both run, and try again.",
        exit_code=TRY_AGAIN,
    )


def _line(one: "Difference") -> str:
    if one.only_live is None:
        return f"{one.table}: the versions have not the same columns of it"
    return f"{one.table}: {one.only_live} row(s) only in the old, {one.only_new} only in the new"
