"""Writer, worker, Connect, broker and a rebuild die by SIGKILL; the read models stay right."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from devstack import AnyStack
from tailrace.config import load
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import PAUSE, eventually
from tests.books import DDL, MODULES, TABLES, describe, done, right, shown, until_right
from tests.chaos.test_worker_kills import LONG

ROUNDS = 6 if LONG else 1


@contextmanager
def writing(dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    """Killed at the end, in the middle of whatever it does."""
    writer = subprocess.Popen([sys.executable, "-m", "tests.ledger", dsn])
    try:
        yield writer
    finally:
        writer.kill()
        writer.wait()


def events(books: Cdc) -> int:
    with psycopg.connect(books.source_dsn) as source:
        row = source.execute("SELECT count(*) FROM eventstore.events").fetchone()
    return int(row[0]) if row else 0


def test_kills_under_load_and_in_a_rebuild(stack: AnyStack, cdc: Callable[..., Cdc]) -> None:
    books = cdc(DDL, TABLES, watch_effects=False, partitions=2)
    describe(books, MODULES | {"next": "one_v2"})
    books.register()
    for sink in MODULES:
        done(books, "projections", "build", sink)
    daemon = books.start_daemon()
    for _ in range(ROUNDS):
        with writing(books.source_dsn):
            grown(books)
            kill_a_worker(books)
            grown(books)
            stack.part("connect").kill()
            grown(books)
            stack.part("connect").start()
        with writing(books.source_dsn):
            grown(books)
            stack.part("kafka").kill()
            grown(books)
            stack.part("kafka").start()
            grown(books)
    rebuilt_while_it_is_killed(books)
    until_right(books, "balances", "sums", "totals", "balances_v2")
    assert done(books, "projections", "compare", "next")
    done(books, "projections", "switch", "next")
    assert shown(books, "balances") == right(books)
    assert daemon.stop() == 0, daemon.text()


def rebuilt_while_it_is_killed(books: Cdc) -> None:
    with writing(books.source_dsn):
        words = [sys.executable, "-m", "tailrace", "projections", "build", "next"]
        build = subprocess.Popen([*words, "--config", str(books.file)])
        eventually(lambda: is_filling(books))
        build.kill()
        build.wait()
        done(books, "projections", "build", "next")
        grown(books)


def grown(books: Cdc) -> None:
    """Until some hundred events more are stored."""
    before = events(books)
    eventually(lambda: events(books) > before + 300)


def is_filling(books: Cdc) -> bool:
    with psycopg.connect(books.target_dsn) as target:
        query = "SELECT 1 FROM eventstore.builds WHERE state = 'filling'"
        return target.execute(query).fetchone() is not None


def kill_a_worker(books: Cdc) -> None:
    """Of the daemon, which starts another."""
    import os
    import signal
    import urllib.request

    import msgspec

    from consumer.metrics import Status

    port = load(books.file, env={}).health.port

    def pid() -> int | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json") as answer:
                found = msgspec.json.decode(answer.read(), type=list[Status])
        except OSError:
            return None
        return next((status.pid for status in found if status.pid and status.batches), None)

    victim = eventually(pid)
    assert victim
    os.kill(victim, signal.SIGKILL)
    PAUSE.wait(0.1)
