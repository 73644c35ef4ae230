"""The destinations of a pipeline as the supervisor knows them, and the act on one proposal."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from sinks.refusal import told
from supervision import proposals
from supervision.mirror import Mirror
from supervision.proposals import CannotDo, Proposal
from tailrace.config import Pipeline, PostgresSink
from tailrace.databases import Connection, connect, why
from tailrace.exits import USAGE, Problem
from tailrace.wiring import group_of, topic_of

REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)
"""What is no passing trouble: the next try would end the same way."""


def subject_of(pipeline: Pipeline, sink: str) -> str:
    """The name of a destination."""
    return f"destination:{pipeline.name}.{sink}"


def destinations(pipeline: Pipeline) -> dict[str, str]:
    """The sinks that are watched, by the names of their subjects: mirrors of tables."""
    mirrors = [name for name, sink in pipeline.sinks.items() if isinstance(sink, PostgresSink)]
    return {subject_of(pipeline, name): name for name in mirrors}


@contextmanager
def opened(pipeline: Pipeline, sink: str) -> Iterator[Connection]:
    """The sink's database, with the supervisor's tables. Raises Problem (TR-SUP-001, 002)."""
    try:
        with connect(pipeline.sinks[sink].dsn, f"database of sink {sink}") as connection:
            with connection.transaction():
                proposals.create_schema(connection)
            yield connection
    except CannotDo as cannot:
        raise Problem("TR-SUP-002", f"{cannot}.") from cannot
    except psycopg.Error as error:
        raise Problem(
            "TR-SUP-001", f"The database of sink {sink} did not do it: {why(error)}."
        ) from error


def sink_of(pipeline: Pipeline, subject: str) -> str:
    """Raises Problem (TR-SUP-005)."""
    known = destinations(pipeline)
    if subject not in known:
        raise Problem(
            "TR-SUP-005",
            f"Nothing called {subject:.100} is watched; there is {', '.join(known) or 'nothing'}.",
            exit_code=USAGE,
        )
    return known[subject]


def named(pipeline: Pipeline, id_: str) -> tuple[str, str, int]:
    """Subject, sink and number of a proposal that is called like `mirror/7`. Raises Problem."""
    sink, _, number = id_.partition("/")
    with suppress(ValueError):
        return (
            subject_of(pipeline, sink),
            sink_of(pipeline, subject_of(pipeline, sink)),
            int(number),
        )
    raise Problem(
        "TR-SUP-005",
        f"{id_!r:.60} names no proposal; `tailrace supervise proposals` has them, like mirror/7.",
        exit_code=USAGE,
    )


def mirror_of(
    pipeline: Pipeline, sink: str, source: Connection, target: Connection, table: str
) -> Mirror:
    """A table of a sink."""
    return Mirror(source, target, table, group_of(pipeline, sink), topic_of(pipeline, table))


def carry_out(
    target: Connection, mirror: Mirror, subject: str, id_: int, actor: str, reason: str
) -> tuple[Proposal, str]:
    """
    `mended`, `overtaken`, `failed`, or `decided` where somebody was first; the proposal as it is
    then. Raises CannotDo, Unsettled, psycopg.Error for what may pass.
    """
    outcome = "decided"
    try:
        with target.transaction():
            one = proposals.named(target, subject, id_, hold=True)
            if one.state == "open":
                outcome = proposals.carry_out(target, one, actor, reason, mirror.mend)
    except REFUSALS as error:
        outcome = "failed"
        with target.transaction():
            one = proposals.named(target, subject, id_, hold=True)
            proposals.failed(target, one, actor, told(error))
    with target.transaction():
        return proposals.named(target, subject, id_), outcome
