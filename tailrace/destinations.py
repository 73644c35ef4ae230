"""What the supervisor watches in a pipeline, destinations and sagas, and the act on a proposal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg

from sagas import operate
from sinks.refusal import told
from supervision import proposals, stuck
from supervision.mirror import Mirror
from supervision.proposals import CannotDo, Found, Proposal, Tell
from supervision.stuck import Stuck
from tailrace import offices
from tailrace.config import Pipeline, PostgresSink, SubscriberSink
from tailrace.databases import Connection, connect, why
from tailrace.exits import USAGE, Problem
from tailrace.wiring import group_of, topic_of

Do = Callable[[Any, Tell], str]
"""What is done about a finding, in an open transaction: `mended` or `overtaken`."""
REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, operate.CannotDo)
"""What is no passing trouble: the next try would end the same way."""


def subject_of(pipeline: Pipeline, sink: str) -> str:
    """The name of a destination."""
    return f"destination:{pipeline.name}.{sink}"


def destinations(pipeline: Pipeline) -> dict[str, str]:
    """The sinks that are watched, by the names of their subjects: mirrors of tables."""
    mirrors = [name for name, sink in pipeline.sinks.items() if isinstance(sink, PostgresSink)]
    return {subject_of(pipeline, name): name for name in mirrors}


def office_sink(pipeline: Pipeline) -> str | None:
    """The sink in whose database the sagas are. Raises Problem (TR-SRC-001)."""
    for name, sink in pipeline.sinks.items():
        if isinstance(sink, SubscriberSink):
            with connect(sink.dsn, f"database of sink {name}") as connection:
                if stuck.is_here(connection):
                    return name
    return None


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


def watched(pipeline: Pipeline) -> list[str]:
    """The sinks in whose databases there is something to watch. Raises Problem (TR-SRC-001)."""
    office = office_sink(pipeline)
    return [*destinations(pipeline).values(), *([office] if office else [])]


def subjects(pipeline: Pipeline, sink: str, tx: Connection) -> list[str]:
    """A mirror is one; sagas are one for each of their steps."""
    if isinstance(pipeline.sinks[sink], PostgresSink):
        return [subject_of(pipeline, sink)]
    return stuck.subjects(tx) if stuck.is_here(tx) else []


def sink_of(pipeline: Pipeline, subject: str) -> str:
    """The sink in whose database a subject is. Raises Problem (TR-SUP-001, 005)."""
    known: list[str] = []
    for sink in watched(pipeline):
        with opened(pipeline, sink) as tx:
            here = subjects(pipeline, sink, tx)
        known += here
        if subject in here:
            return sink
    raise Problem(
        "TR-SUP-005",
        f"Nothing called {subject:.100} is watched; there is {', '.join(known) or 'nothing'}.",
        exit_code=USAGE,
    )


def named(pipeline: Pipeline, id_: str) -> tuple[str, int]:
    """Sink and number of a proposal that is called like `mirror/7`. Raises Problem."""
    sink, _, number = id_.partition("/")
    with suppress(ValueError):
        if isinstance(pipeline.sinks.get(sink), PostgresSink | SubscriberSink):
            return sink, int(number)
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


@contextmanager
def doer(
    pipeline: Pipeline, sink: str, tx: Connection, finding: Found, actor: str, reason: str
) -> Iterator[Do]:
    """What would be done about a finding. Raises Problem."""
    if isinstance(finding, Stuck):
        yield saga_doer(tx, pipeline, actor, reason)
        return
    with connect(pipeline.source.dsn, "source database") as source:
        yield mirror_of(pipeline, sink, source, tx, finding.table).mend


def saga_doer(tx: Connection, pipeline: Pipeline, actor: str, reason: str) -> Do:
    """What moves a saga on, by the code that declares it. Raises Problem."""
    _, office = offices.office_of(pipeline)

    def do(finding: Stuck, tell: Tell) -> str:
        if finding.type not in office.sagas:
            raise CannotDo(f"orchestrator {office.name} has no sagas of type {finding.type}")
        return stuck.act(tx, office, finding, actor, reason, tell)

    return do


def carry_out(
    tx: Connection, do: Do, subject: str, id_: int, actor: str, reason: str
) -> tuple[Proposal, str]:
    """
    `mended`, `overtaken`, `failed`, or `decided` where somebody was first; the proposal as it is
    then. Raises CannotDo, Unsettled, psycopg.Error for what may pass.
    """
    held = partial(proposals.named, tx, [subject], id_, hold=True)
    outcome = "decided"
    try:
        with tx.transaction():
            one = held()
            if one.state == "open":
                outcome = proposals.carry_out(tx, one, actor, reason, do)
    except REFUSALS as error:
        outcome = "failed"
        with tx.transaction():
            said = told(error) if isinstance(error, psycopg.Error) else str(error)
            proposals.failed(tx, held(), actor, said)
    with tx.transaction():
        return proposals.named(tx, [subject], id_), outcome
