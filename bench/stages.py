"""
Whether the stages add up: `python -m bench.stages PIPELINE_FILE`, beside a running demo.

The stages are those that the workers report of the newest minute. From outside, both databases
tell when each row of that minute was committed (`track_commit_timestamp`). Begin when the demo has
run for some seconds, and before it kills a worker.
"""

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec
import psycopg
from psycopg import sql

from consumer.metrics import WINDOW_S, Status
from tailrace.config import load
from tailrace.progress import shown
from tailrace.watch.waterfalls import corrected

ARRIVES_WITHIN_S = 5.0

Connection = psycopg.Connection[Any]
Seen = dict[tuple[str, str], float]
"""When each row, by table and key, was committed as it is; seconds since 1970."""

_KEYS = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE n.nspname || '.' || c.relname = ANY (%s) GROUP BY 1, 2
"""
_ROWS = """
SELECT jsonb_build_array({key})::text, extract(epoch FROM at)::float8
FROM (SELECT *, pg_xact_commit_timestamp(xmin) AS at FROM {table}) AS rows
WHERE at > to_timestamp(%s)
"""


def main(file: str) -> None:
    """Prints both medians, in milliseconds, and by how much they differ."""
    pipeline = load(Path(file), env={})
    (sink,) = pipeline.sinks.values()
    since_s = time.time()
    with shown() as tell:
        tell("stages", f"a minute of the load passes ({WINDOW_S:.0f} s)")
        time.sleep(WINDOW_S)
    told_ms = _told_ms(f"http://{pipeline.health.host}:{pipeline.health.port}/status.json")
    with (
        psycopg.connect(pipeline.source.dsn, autocommit=True) as source,
        psycopg.connect(sink.dsn, autocommit=True) as target,
    ):
        keys = source.execute(_KEYS, [list(pipeline.source.tables)]).fetchall()
        committed = _seen(source, keys, since_s)
        time.sleep(ARRIVES_WITHIN_S)
        visible = _seen(target, keys, since_s)
        still = _seen(source, keys, since_s)
    # A row that was written again meanwhile may be another version in the target.
    late_s = [
        visible[row] - at_s
        for row, at_s in committed.items()
        if still.get(row) == at_s and row in visible
    ]
    seen_ms = median(late_s) * 1000
    sys.stdout.write(
        f"commit to commit, p50 of {len(late_s):,} rows {seen_ms:8.1f} ms\n"
        f"sum of the stages, typical       {told_ms:8.1f} ms\n"
        f"difference                       {100 * (told_ms / seen_ms - 1):+8.1f} %\n"
    )


def _seen(connection: Connection, keys: list[tuple[str, str, list[str]]], since_s: float) -> Seen:
    found = {}
    for schema, table, columns in keys:
        query = sql.SQL(_ROWS).format(
            key=sql.SQL(", ").join(map(sql.Identifier, columns)),
            table=sql.Identifier(schema, table),
        )
        for key, at_s in connection.execute(query, [since_s]):
            found[f"{schema}.{table}", key] = at_s
    return found


def _told_ms(url: str) -> float:
    """Of the workers, by how many batches each has seen."""
    statuses = msgspec.json.decode(httpx.get(url).content, type=list[Status])
    ways = [corrected(status.waterfall, {}) for status in statuses if status.waterfall]
    total = sum(way.samples for way in ways)
    return sum(way.visible_s * way.samples for way in ways) / total * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
