"""Every state that the way into Kafka can be in, caused for real."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from connectors.catalogue import read_slot
from tailrace.harness.cdc import Cdc
from tests.watched import Watched, watched, with_limit

DDL = "CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'first')"


@pytest.fixture
def live(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, ["public.t"], watch_effects=False)
    with_limit(made)
    return made


@pytest.fixture
def watch(live: Cdc) -> Iterator[Watched]:
    with watched(live) as opened:
        found = opened.until("FAILED", "source", because="Connect has no such connector")
        assert found.todo == "`tailrace connector apply`"
        live.register()
        live.start_daemon()
        opened.until("IDLE")
        yield opened


def test_the_way_into_kafka(watch: Watched, live: Cdc) -> None:
    """One after the other on one pipeline, since each takes seconds to be sure of."""
    watch.steady("IDLE")
    _stuck(watch, live)
    _task_failed(watch, live)
    _stopped(watch, live)
    _lost(watch, live)


def _stuck(watch: Watched, live: Cdc) -> None:
    """The connector runs, and hangs: only the heartbeats that do not come tell."""
    with psycopg.connect(live.source_dsn) as other:
        other.execute("LOCK TABLE tailrace.heartbeat IN EXCLUSIVE MODE")
        assert "overdue" in watch.until("STALLED").reason
        assert watch.now.source.connector == "RUNNING"
        assert watch.now.sinks[0].lag_s is None  # nobody knows what is not in Kafka
    watch.until("IDLE")
    assert watch.now.sinks[0].lag_s == 0.0


def _task_failed(watch: Watched, live: Cdc) -> None:
    name = live.spec.publication
    live.sql(f"ALTER PUBLICATION {name} RENAME TO hidden")
    with live.at() as at:
        at.connect.restart_task(live.name, 0)
    verdict = watch.until("FAILED")
    assert "publication" in verdict.reason.lower()
    assert verdict.todo == "mend the reason, then `tailrace connector restart`"
    live.sql(f"ALTER PUBLICATION hidden RENAME TO {name}")
    assert live.command("connector", "restart").returncode == 0
    watch.until("IDLE")


def _stopped(watch: Watched, live: Cdc) -> None:
    with live.at() as at:
        at.connect.stop(live.name)
    # Between the two the tasks are gone, and the connector does not say yet that it was told so.
    assert watch.until_todo("STOPPED", "`tailrace connector resume`")
    assert live.command("connector", "resume").returncode == 0
    watch.until("IDLE")


def _lost(watch: Watched, live: Cdc) -> None:
    """First it is said that there is little left, then that it is too late."""
    assert live.command("connector", "pause").returncode == 0
    watch.until("PAUSED")
    with live.at() as at, keeping(at.source, "64MB"):
        _write_log(at.source, segments=3)
        assert "raise max_slot_wal_keep_size" in watch.until("DEGRADED").reason
        _write_log(at.source, segments=4)
        at.source.execute("CHECKPOINT")
        assert "max_slot_wal_keep_size" in watch.until("FAILED").reason
        assert watch.now.source.wal_status == "lost"
        at.source.execute("SELECT pg_drop_replication_slot(%s)", [live.spec.slot])
        assert read_slot(at.source, live.spec.slot) is None
        assert "no replication slot" in watch.until("FAILED", because="no replication").reason


def _write_log(source: psycopg.Connection[Any], segments: int) -> None:
    for _ in range(segments):
        source.execute("SELECT pg_logical_emit_message(false, 'test', 'x')")
        source.execute("SELECT pg_switch_wal()")


@contextmanager
def keeping(source: psycopg.Connection[Any], limit: str) -> Iterator[None]:
    """No slot of the server keeps more log than that."""
    source.execute(SQL("ALTER SYSTEM SET max_slot_wal_keep_size = {}").format(limit))
    source.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        source.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        source.execute("SELECT pg_reload_conf()")
