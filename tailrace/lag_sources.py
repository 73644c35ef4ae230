"""Asking the servers for what `lag.py` sums up. All of it raises Away, naming the server."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg

from connectors.catalogue import last_beats_ms, read_slots, wal_position
from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition
from eventstore import versions
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away, ask, database
from tailrace.config import Pipeline, ProjectionSink
from tailrace.databases import Connection
from tailrace.lag import Row, Source, SourceRow, rows, source_row
from tailrace.logs import HEADS_WITHIN_S, Offsets, read_kafka
from tailrace.wiring import group_of, topics_of


def measure(
    pipeline: Pipeline,
    spec: ConnectorSpec,
    read_applied: Callable[[Pipeline, str], Offsets] | None = None,
) -> tuple[list[Row], SourceRow]:
    """
    Ask each server once. Every sink before Kafka's ends, so that none seems to be ahead, or done
    where it is not. `read_applied` is asked instead of a sink that is not one of ours.
    """
    read = read_applied or read_sink
    topics = {name: topics_of(pipeline, name) for name in pipeline.sinks}
    questions: dict[str, Callable[[], Any]] = {"the source": lambda: read_source(pipeline, spec)}
    for name in topics:
        questions[f"sink {name}"] = partial(read, pipeline, name)
    answers = ask(questions, within_s=2.0 * CONNECT_WITHIN_S)
    source: Source | Away = answers["the source"]
    applied = {name: answers[f"sink {name}"] for name in topics}
    wanted = {
        name: (names, {} if isinstance(applied[name], Away) else applied[name])
        for name, names in topics.items()
    }
    found = ask(
        {"Kafka": lambda: read_kafka(pipeline.kafka, wanted, spec.heartbeat_topic)},
        within_s=HEADS_WITHIN_S + 3 * ANSWER_WITHIN_S,
    )["Kafka"]
    ahead_s = 0.0 if isinstance(source, Away) else source.ahead_s
    now_us = int((time.time() + ahead_s) * 1e6)
    return (
        rows(topics, applied, found, now_us),
        source_row(spec.slot, source, found, spec.heartbeat_interval_ms, now_us),
    )


def read_source(pipeline: Pipeline, spec: ConnectorSpec) -> Source:
    """Slot, position of the log, heartbeat and clock of the source. Raises Away."""
    with database(pipeline.source.dsn, "source database") as connection:
        return look_at_sources(connection, [spec])[spec.slot]


def look_at_sources(connection: Connection, specs: Sequence[ConnectorSpec]) -> dict[str, Source]:
    """The same of all that share a database, by their slots, over an open connection."""
    slots = read_slots(connection, [spec.slot for spec in specs])
    position, ahead_s = wal_position(connection), clock_ahead_s(connection)
    beats_ms: dict[str, int] = {}
    for schema in {spec.control_schema for spec in specs}:
        here = [spec.slot for spec in specs if spec.control_schema == schema]
        beats_ms |= last_beats_ms(connection, schema, here)
    return {
        spec.slot: Source(slots.get(spec.slot), position, beats_ms.get(spec.slot), ahead_s)
        for spec in specs
    }


def clock_ahead_s(connection: Connection) -> float:
    """The server's clock minus ours, in seconds, good to half of the way there and back."""
    asked_at_s = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    answered_at_s = time.time()
    return (float(row[0]) if row else asked_at_s) - (asked_at_s + answered_at_s) / 2


def read_sink(pipeline: Pipeline, name: str) -> Offsets:
    """The sink's own next offsets, as they are in its database."""
    what, group = f"database of sink {name}", group_of(pipeline, name)
    settings = pipeline.sinks[name]
    with database(settings.dsn, what) as connection:
        if isinstance(settings, ProjectionSink):
            _check_built(versions.find(connection, group), name)
        try:
            return next_offsets(connection, [group])[group]
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise Away(
                f"The {what} has no tailrace.offsets: run `tailrace schema apply`."
            ) from None


def _check_built(build: versions.Build | None, sink: str) -> None:
    if build is None or build.state == "filling":
        what = "is being built" if build else "is not built"
        raise Away(
            f"The version of sink {sink} {what}, so nothing follows the log: "
            f"see `tailrace projections build {sink}`."
        )


def next_offsets(connection: Connection, groups: Sequence[str]) -> dict[str, Offsets]:
    """Of each sink, for every partition it has met. Raises psycopg.Error without their table."""
    query = "SELECT sink, topic, partition, next_offset FROM tailrace.offsets WHERE sink = ANY (%s)"
    found: dict[str, dict[TopicPartition, int]] = {group: {} for group in groups}
    for group, topic, number, offset in connection.execute(query, [list(groups)]):
        found[group][TopicPartition(topic, number)] = offset
    return dict(found)
