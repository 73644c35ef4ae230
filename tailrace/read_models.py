"""
The read models of a pipeline: what there is, and building, comparing, switching and dropping.

Each of these raises Problem: TR-EVT-080 for a sink that is no projection, TR-EVT-081 to 086 for
what cannot be done, and TR-SRC-001 for a database that does not answer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

import msgspec
import psycopg

from consumer.errors import Busy
from eventstore import rebuild, versions
from eventstore.projection import Projection
from eventstore.versions import Build, Difference, State
from tailrace import named
from tailrace.actions import Actor, log_of
from tailrace.asking import Away, database
from tailrace.config import Pipeline, ProjectionSink
from tailrace.databases import Connection, connect, why
from tailrace.exits import FAILED, TRY_AGAIN, USAGE, Problem
from tailrace.logs import log_reader
from tailrace.source import spec_of
from tailrace.wiring import group_of, topics_of

LEVEL_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02

Progress = Callable[[int, int], None]
"""Called with how far the store was read, and how far it has to be."""


class ReadModel(msgspec.Struct, frozen=True):
    """
    A sink of type projection and the version that was built for it; `events` are those of the
    build, before it followed the log. `state` is null where `trouble` says why it is not known.
    """

    sink: str
    state: State | Literal["not built"] | None
    projection: str | None = None
    version: int | None = None
    is_live: bool = False
    events: int | None = None
    began_at: datetime | None = None
    built_at: datetime | None = None
    trouble: str | None = None


def of_pipeline(pipeline: Pipeline) -> dict[str, ProjectionSink]:
    """Its sinks of type projection."""
    return {n: each for n, each in pipeline.sinks.items() if isinstance(each, ProjectionSink)}


def listed(pipeline: Pipeline) -> list[ReadModel]:
    """All of them, each database asked once; one that is away says so in its own lines."""
    found = []
    builds: dict[str, Mapping[str, Build] | Away] = {}
    for sink, settings in of_pipeline(pipeline).items():
        if settings.dsn not in builds:
            builds[settings.dsn] = _builds(settings.dsn, f"database of sink {sink}")
        there = builds[settings.dsn]
        if isinstance(there, Away):
            found.append(ReadModel(sink, None, trouble=there.sentence))
        elif build := there.get(group_of(pipeline, sink)):
            found.append(
                ReadModel(
                    *(sink, build.state, build.projection, build.version, build.is_live),
                    *(build.events, build.began_at, build.built_at),
                )
            )
        else:
            found.append(ReadModel(sink, "not built"))
    return found


def build(
    pipeline: Pipeline,
    sink: str,
    progress: Progress,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Projection, int]:
    """Fills the version of the code; returns it and the number of its events."""
    settings = _settings(pipeline, sink)
    if since and until and since >= until:
        raise Problem("TR-EVT-086", "--since must be before --until.", exit_code=USAGE)
    projection = named.load(settings.module, Projection)
    (topic,) = topics_of(pipeline, sink)
    try:
        with log_reader(pipeline.kafka) as log:
            count = rebuild.build(
                *(settings.dsn, pipeline.source.dsn, group_of(pipeline, sink), projection),
                lambda: log.ends(topic),
                progress,
                since=since,
                until=until,
            )
    except (rebuild.Filled, Busy) as error:
        raise Problem("TR-EVT-081", f"{error}.", exit_code=FAILED) from error
    except rebuild.Unsettled as error:
        raise Problem("TR-EVT-081", f"{error}.", exit_code=TRY_AGAIN) from error
    except Away as away:
        raise Problem("TR-EVT-081", away.sentence, exit_code=TRY_AGAIN) from away
    except psycopg.Error as error:
        told = f"A database did not do it: {why(error)}."
        raise Problem("TR-EVT-081", told, exit_code=TRY_AGAIN) from error
    return projection, count


def compared(pipeline: Pipeline, sink: str) -> list[Difference]:
    """With the version that readers see, at a moment at which both have had the same events."""
    with _connected(pipeline, sink) as connection:
        new = _built(connection, pipeline, sink)
        shown = versions.live(connection, new.projection)
        if shown is None:
            return []
        return _differences(connection, group_of(pipeline, sink), new, *shown)


def switch(
    pipeline: Pipeline, sink: str, actor: Actor, reason: str, *, even_if_differing: bool
) -> str:
    """Readers see this version from then on; returns its schema."""
    with _connected(pipeline, sink) as connection:
        new = _built(connection, pipeline, sink)
    if new.is_live:
        return new.schema
    is_past = new.state == "past"
    apart = [] if even_if_differing or is_past else compared(pipeline, sink)
    told = [str(one) for one in apart if not one.is_none]
    if is_past and not even_if_differing:
        told.append("it was built with --until and does not follow the log")
    if told:
        raise Problem(
            "TR-EVT-082",
            f"{new.schema} differs from what readers see: {'; '.join(told)}. If that is meant,"
            " say --differing.",
            exit_code=FAILED,
        )
    log = log_of(pipeline, spec_of(pipeline))
    with (
        log.logged(actor, "projections switch", f"{pipeline.name} {new.schema}", reason),
        _connected(pipeline, sink) as connection,
    ):
        versions.switch(connection, group_of(pipeline, sink))
        connection.commit()
    return new.schema


def drop(pipeline: Pipeline, sink: str, actor: Actor, reason: str) -> str | None:
    """The schema that is gone; None where there was none."""
    group = group_of(pipeline, sink)
    with _connected(pipeline, sink) as connection:
        there = versions.find(connection, group)
    if there is None:
        return None
    if there.is_live:
        raise Problem(
            "TR-EVT-083",
            f"Readers see {there.schema}: switch to another version first.",
            exit_code=FAILED,
        )
    log = log_of(pipeline, spec_of(pipeline))
    with (
        log.logged(actor, "projections drop", f"{pipeline.name} {there.schema}", reason),
        _connected(pipeline, sink) as connection,
    ):
        versions.drop(connection, group)
        connection.commit()
    return there.schema


def _builds(dsn: str, what: str) -> Mapping[str, Build] | Away:
    try:
        with database(dsn, what) as connection:
            return builds_of(connection)
    except Away as away:
        return away


def builds_of(connection: Connection) -> Mapping[str, Build]:
    """The versions of a database, by consumer group; none where nothing was ever built."""
    try:
        with connection.transaction():
            return versions.listed(connection)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return {}


def _settings(pipeline: Pipeline, sink: str) -> ProjectionSink:
    sinks = of_pipeline(pipeline)
    if sink not in sinks:
        known = ", ".join(sinks) or "none"
        raise Problem(
            "TR-EVT-080",
            f"There is no sink {sink} of type projection; there is {known}.",
            exit_code=USAGE,
        )
    return sinks[sink]


@contextmanager
def _connected(pipeline: Pipeline, sink: str) -> Iterator[Connection]:
    dsn = _settings(pipeline, sink).dsn
    try:
        with connect(dsn, f"database of sink {sink}") as connection:
            yield connection
    except psycopg.errors.LockNotAvailable as error:
        raise Problem(
            "TR-EVT-081",
            f"A transaction in the database of sink {sink} still reads or writes what is to go: "
            "wait for its end, or end it, and try again.",
            exit_code=TRY_AGAIN,
        ) from error
    except psycopg.errors.DependentObjectsStillExist as error:
        depend = (error.diag.message_detail or why(error)).replace("\n", "; ")
        told = f"Something else depends on what readers see now: {depend}. Drop that first."
        raise Problem("TR-EVT-081", told, exit_code=FAILED) from error
    except psycopg.Error as error:
        told = f"The database of sink {sink} did not do it: {why(error)}."
        raise Problem("TR-EVT-081", told, exit_code=TRY_AGAIN) from error


def _built(connection: Connection, pipeline: Pipeline, sink: str) -> Build:
    found = versions.find(connection, group_of(pipeline, sink))
    if found is None or found.state == "filling":
        raise Problem(
            "TR-EVT-084",
            f"The version of sink {sink} is not built: run `tailrace projections build {sink}`.",
            exit_code=FAILED,
        )
    return found


def _check_follows(*builds: Build) -> None:
    for build in builds:
        if build.state == "past":
            raise Problem(
                "TR-EVT-085",
                f"{build.schema} was built with --until and does not follow the log, so it never"
                " has the events of the other version: they cannot be compared.",
                exit_code=FAILED,
            )


def _differences(
    connection: Connection, sink: str, new: Build, live_sink: str, shown: Build
) -> list[Difference]:
    until_s = time.monotonic() + LEVEL_WITHIN_S
    while time.monotonic() < until_s:
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if sink == live_sink or versions.are_level(connection, sink, live_sink):
            return list(versions.differences(connection, shown, new))
        _check_follows(new, shown)
        time.sleep(LOOK_EVERY_S)
    raise Problem(
        "TR-EVT-085",
        f"The versions had not had the same events at any moment of {LEVEL_WITHIN_S:.0f} s, so "
        "they cannot be compared: let the workers of both run, and try again.",
        exit_code=TRY_AGAIN,
    )
