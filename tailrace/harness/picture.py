"""What a person would look at first when a test waits in vain: every server asked once."""

from collections.abc import Callable, Iterator, Sequence

import redis

from connectors.errors import ConnectorError
from connectors.lifecycle import states
from connectors.position import lsn
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from tailrace.asking import Away, ask, database
from tailrace.config import Pipeline
from tailrace.harness.running import Running
from tailrace.lag import Row, SourceRow

ASK_WITHIN_S = 12.0
LOG_LINES = 30
TRACE_LINES = 12
_SLOT = """
SELECT active, restart_lsn - '0/0', confirmed_flush_lsn - '0/0',
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""


Lag = Callable[[], tuple[Sequence[Row], SourceRow]]


def draw(pipeline: Pipeline, spec: ConnectorSpec, lag: Lag, workers: Sequence[Running]) -> str:
    """Slot, connector and tasks, lag by stage, Redis, and the end of each worker's log."""
    parts: dict[str, Callable[[], list[str]]] = {
        "slot": lambda: _slot(pipeline, spec),
        "connector": lambda: _connector(spec),
        "lag": lambda: list(_lag(*lag())),
        "redis": lambda: _redis(pipeline),
    }
    answers = ask(parts, ASK_WITHIN_S)
    lines = [f"--- pipeline {pipeline.name} ---"]
    for name, answer in answers.items():
        told = [answer.sentence] if isinstance(answer, Away) else answer
        lines += [f"{name if first else '':<10} {line}" for first, line in _firsts(told)]
    for number, worker in enumerate(workers):
        code = worker.process.poll()
        how = "running" if code is None else f"ended with {code}"
        lines += [f"--- process {number} ({how}), its last lines ---", worker.tail(LOG_LINES)]
    return "\n".join(lines) if workers else "\n".join([*lines, "--- no worker was started ---"])


def _firsts(lines: Sequence[str]) -> Iterator[tuple[bool, str]]:
    for number, line in enumerate(lines):
        yield number == 0, line


def _slot(pipeline: Pipeline, spec: ConnectorSpec) -> list[str]:
    with database(pipeline.source.dsn, "source database") as connection:
        row = connection.execute(_SLOT, [spec.slot]).fetchone()
    if row is None:
        return [f"{spec.slot} does not exist"]
    active, restart, confirmed, retained = row
    return [
        f"{spec.slot} {'active' if active else 'NOT ACTIVE'}, restart_lsn {_lsn(restart)},"
        f" confirmed_flush {_lsn(confirmed)}, {retained or 0:,} bytes retained"
    ]


def _lsn(position: int | None) -> str:
    return "none" if position is None else lsn(int(position))


def _connector(spec: ConnectorSpec) -> list[str]:
    try:
        with Connect(spec.connect_url, patience_s=3) as connect:
            found = states(connect, spec.name)
    except ConnectorError as error:
        raise Away(error.sentence) from error
    if not found:
        return [f"{spec.name} does not exist"]
    lines = []
    for part, state, trace in found:
        lines.append(f"{part} {state}")
        lines += [f"    {line}" for line in trace.splitlines()[:TRACE_LINES]]
        lines += [f"    {line}" for line in trace.splitlines() if line.startswith("Caused by")]
    return lines


def _lag(rows: Sequence[Row], source: SourceRow) -> Iterator[str]:
    if source.is_read is None:
        yield f"source -> Kafka: {source.unknown}"
    else:
        beat = source.heartbeat_in_kafka_age_s
        age = "no heartbeat in Kafka yet" if beat is None else f"heartbeat {beat:.1f} s old"
        yield f"source -> Kafka: {source.unconfirmed_bytes} bytes not confirmed, {age}"
    for row in rows:
        where = f"{row.topic}[{'-' if row.partition is None else row.partition}]"
        if row.behind_records is None:
            yield f"Kafka -> {row.sink}: {where} {row.unknown or 'has no topic yet'}"
        else:
            age = "" if row.lag_s is None else f", {row.lag_s:.1f} s"
            yield (
                f"Kafka -> {row.sink}: {where} at {row.next_offset} of {row.end_offset},"
                f" {row.behind_records} behind{age}"
            )


def _redis(pipeline: Pipeline) -> list[str]:
    try:
        with redis.Redis.from_url(
            pipeline.redis.url, socket_timeout=2, socket_connect_timeout=2
        ) as client:
            client.ping()
    except redis.RedisError as error:
        return [f"NOT REACHABLE: {error}"]
    return ["reachable"]
