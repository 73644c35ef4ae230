"""
Where a first snapshot and the stream meet, and what is lost where they do not.

A commit is written to the log before other sessions see its rows; a synchronous standby that does
not answer makes that moment as long as we like.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors import operate
from connectors.catalogue import last_beat_ms
from connectors.lifecycle import wait_running
from connectors.register import apply, execute, make_plan
from connectors.render import render
from connectors.spec import ConnectorSpec
from tailrace.harness.waits import eventually
from tests.sourcedb import Source


@pytest.fixture
def standby_that_never_answers(source: Source) -> Iterator[None]:
    """Only sessions that ask for it wait for the standby, so other tests do not notice."""
    settings = {"synchronous_commit": "local", "synchronous_standby_names": "nobody"}
    for name, value in settings.items():
        source.db.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
    source.db.execute("SELECT pg_reload_conf()")
    yield
    for name in settings:
        source.db.execute(f"ALTER SYSTEM RESET {name}".encode())
    source.db.execute("SELECT pg_reload_conf()")


@contextmanager
def committed_but_invisible(source: Source) -> Iterator[None]:
    """Row 1 is committed in the log at entry; others see it from exit on."""
    with psycopg.connect(source.dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = on")
        insert = "INSERT INTO orders VALUES (1, 'in between')"
        thread = threading.Thread(target=connection.execute, args=[insert])
        thread.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        row = eventually(lambda: source.db.execute(waiting).fetchone(), what="the commit to wait")
        assert source.db.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        try:
            yield
        finally:
            source.db.execute("SELECT pg_cancel_backend(%s)", row)
            thread.join()


def keys_sent(source: Source, spec: ConnectorSpec, last: int) -> list[int]:
    keys: list[int] = []
    with KafkaConsumer(bootstrap_servers=source.endpoints.kafka, auto_offset_reset="earliest") as c:
        c.assign([TopicPartition(f"{spec.topic_prefix}.public.orders", 0)])

        def arrived() -> bool:
            for records in c.poll(timeout_ms=500).values():
                keys.extend(json.loads(record.key)["id"] for record in records)
            return last in keys

        eventually(arrived, what=f"row {last}")
    return keys


@pytest.mark.usefixtures("standby_that_never_answers")
@pytest.mark.parametrize(("lossless", "sent"), [(True, [1, 2]), (False, [2])])
def test_a_snapshot_beside_an_older_slot(source: Source, lossless: bool, sent: list[int]) -> None:
    """Plain Debezium misses the commit; once it no longer does, our refusal of that may go."""
    spec = source.spec(lossless=lossless)
    for change in make_plan(source.spec(snapshot="no_data"), source.at).changes:
        if change.sql:
            execute(source.db, change)

    with committed_but_invisible(source):
        source.at.connect.put(spec.name, render(spec))
        wait_running(source.at.connect, spec.name)
        eventually(lambda: last_beat_ms(source.db, spec) is not None, what="the snapshot's end")
    source.db.execute("INSERT INTO orders VALUES (2, 'later')")
    assert keys_sent(source, spec, last=2) == sent


@pytest.mark.usefixtures("standby_that_never_answers")
def test_the_connector_s_own_slot_waits_for_the_commit(source: Source) -> None:
    spec = source.spec()
    applying = threading.Thread(target=lambda: apply(spec, source.at, make_plan(spec, source.at)))
    with committed_but_invisible(source):
        applying.start()
        eventually(
            lambda: (
                source.db.execute(
                    "SELECT FROM pg_replication_slots WHERE slot_name = %s", [spec.slot]
                ).fetchone()
                is not None
            ),
            what="the slot to be made",
        )
    applying.join()
    source.db.execute("INSERT INTO orders VALUES (2, 'later')")
    assert sorted(keys_sent(source, spec, last=2)) == [1, 2]
    assert operate.status(spec, source.at).state == "RUNNING"
