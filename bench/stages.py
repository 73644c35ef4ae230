"""
Whether the stages add up: `python -m bench.stages PIPELINE_FILE`, beside a running demo.

Writes rows of its own into the shop, sees when each is visible in the target, and compares the
median with the sum of the stages that the workers report. These are of each worker's newest 500
batches, so begin when the load has run for half a minute, and before anything is killed.
"""

import random
import secrets
import sys
import time
from pathlib import Path

import httpx
import msgspec
import psycopg

from consumer.metrics import Status
from tailrace.config import load
from tailrace.watch.waterfalls import corrected

ROWS = 400
EVERY_S = 0.05
WITHIN_S = 10.0
LOOK_EVERY_S = 0.0005


def main(file: str) -> None:
    """Prints both medians, in milliseconds, and by how much they differ."""
    pipeline = load(Path(file), env={})
    (sink,) = pipeline.sinks.values()
    first = 10**12 + secrets.randbelow(10**6) * ROWS
    waits_s = []
    with (
        psycopg.connect(pipeline.source.dsn, autocommit=True) as source,
        psycopg.connect(sink.dsn, autocommit=True) as target,
    ):
        for number in range(ROWS):
            source.execute(
                "INSERT INTO customers (id, email, name) VALUES (%s, 'bench', 'bench')",
                [first + number],
                prepare=True,
            )
            waits_s.append(_visible_after_s(target, first + number))
            time.sleep(random.uniform(0, 2 * EVERY_S))  # else it goes in step with the batches
        source.execute("DELETE FROM customers WHERE id >= %s", [first])
    seen_ms = sorted(waits_s)[len(waits_s) // 2] * 1000
    told_ms = _told_ms(f"http://{pipeline.health.host}:{pipeline.health.port}/status.json")
    sys.stdout.write(
        f"seen from outside, p50 of {ROWS}   {seen_ms:8.1f} ms\n"
        f"sum of the stages, typical     {told_ms:8.1f} ms\n"
        f"difference                     {100 * (told_ms / seen_ms - 1):+8.1f} %\n"
    )


def _visible_after_s(target: psycopg.Connection[tuple[int]], row: int) -> float:
    began_s = time.monotonic()
    while time.monotonic() - began_s < WITHIN_S:
        found = target.execute("SELECT 1 FROM customers WHERE id = %s", [row], prepare=True)
        if found.fetchone():
            return time.monotonic() - began_s
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError(f"row {row} did not arrive")


def _told_ms(url: str) -> float:
    """Of the workers, by how many batches each has seen."""
    statuses = msgspec.json.decode(httpx.get(url).content, type=list[Status])
    ways = [corrected(status.waterfall, {}) for status in statuses if status.waterfall]
    total = sum(way.samples for way in ways)
    return sum(way.visible_s * way.samples for way in ways) / total * 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
