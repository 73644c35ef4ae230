"""The sagas of a pipeline: the sink that orchestrates them, and what a person may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg

from sagas import operate
from sagas.operate import CannotDo
from sagas.orchestrator import Orchestrator
from supervision import stuck
from tailrace import named
from tailrace.asking import Away, database
from tailrace.config import Pipeline, SubscriberSink
from tailrace.databases import Connection, connect, why
from tailrace.exits import FAILED, TRY_AGAIN, USAGE, Problem


def office_of(pipeline: Pipeline) -> tuple[str, Orchestrator]:
    """The database and the orchestrator. Raises Problem (TR-SAG-001) where there is none."""
    for sink in pipeline.sinks.values():
        if isinstance(sink, SubscriberSink):
            found = named.load(sink.module, object)
            if isinstance(found, Orchestrator):
                return sink.dsn, found
    raise Problem(
        "TR-SAG-001",
        f"No sink of pipeline {pipeline.name} orchestrates sagas: name the file of the pipeline"
        " that does, with --config.",
        exit_code=USAGE,
    )


@contextmanager
def opened(dsn: str) -> Iterator[Connection]:
    """The sagas' database. Raises Problem (TR-SAG-002) for what the server refuses."""
    try:
        with connect(dsn, "database of the sagas") as connection:
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise Problem(
            "TR-SAG-002",
            f"It has no sagas yet ({why(error)}): run `tailrace schema apply`.",
            exit_code=FAILED,
        ) from error
    except psycopg.Error as error:
        raise Problem(
            "TR-SAG-002",
            f"The database of the sagas did not do it: {why(error)}.",
            exit_code=TRY_AGAIN,
        ) from error


@contextmanager
def looked_at(pipeline: Pipeline) -> Iterator[Connection]:
    """
    The sagas of a pipeline, to look at: without the code that declares them. Raises Away where the
    database does not answer soon or none of the pipeline's has sagas.
    """
    for name, sink in pipeline.sinks.items():
        if not isinstance(sink, SubscriberSink):
            continue
        with database(sink.dsn, f"database of sink {name}") as connection:
            if stuck.is_here(connection):
                yield connection
                return
    raise Away("No sink of this pipeline orchestrates sagas.")


def act(pipeline: Pipeline, what: str, saga: UUID, actor: str, reason: str) -> None:
    """
    `resume` or `compensate`, with its line in the log, in one transaction. Raises Problem:
    TR-SAG-003 without a reason, TR-SAG-004 where it does not fit the saga's state.
    """
    if not reason.strip():
        raise Problem("TR-SAG-003", "Say why, with --reason: it is kept for ever.", exit_code=USAGE)
    dsn, office = office_of(pipeline)
    with opened(dsn) as tx:
        try:
            operate.ACTS[what](tx, office, saga, actor, reason)
        except CannotDo as refused:
            raise Problem("TR-SAG-004", f"{refused}.") from refused
        tx.commit()


def saga_id(text: str) -> UUID:
    """Raises Problem (TR-SAG-005)."""
    try:
        return UUID(text)
    except ValueError:
        raise Problem(
            "TR-SAG-005",
            f"{text!r:.60} is no saga's id; `tailrace supervise list` has them.",
            exit_code=USAGE,
        ) from None
