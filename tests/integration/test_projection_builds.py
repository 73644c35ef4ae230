"""Builds beside others at work: writers that commit, workers that run, tables that are wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from consumer.errors import Busy
from eventstore import rebuild, store, versions
from eventstore.projection import sql_projection
from sinks import writers
from tailrace.harness.waits import eventually
from tests import ledger
from tests.integration.test_projection_sink import Books
from tests.integration.test_projection_sink import books as books

AT_THE_GATE = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"
HELD_UP = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON eventstore.events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION wait()
"""


@contextmanager
def committing(books: Books) -> Iterator[psycopg.Connection]:
    """A writer on its way through its commit, which `gate` holds up, as a standby might."""
    with psycopg.connect(books.dsn, autocommit=True) as gate:
        gate.execute(HELD_UP)
        gate.execute("SELECT pg_advisory_lock(1)")
        with psycopg.connect(books.dsn) as tx:
            store.append(tx, ledger.contracts, "account-a", [ledger.Booked(amount=2)], expected=1)

            thread = threading.Thread(target=tx.commit)
            thread.start()
            pid = [tx.info.backend_pid]
            eventually(lambda: gate.execute(AT_THE_GATE, pid).rowcount == 1, 30, "the writer")
            try:
                yield gate
            finally:
                gate.execute("SELECT pg_advisory_unlock_all()")
                thread.join()


def test_a_commit_that_may_be_in_the_log_already_is_waited_for(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.append("account-a", 1)
    with committing(books) as gate:
        opens = "SELECT pg_advisory_unlock_all()"
        monkeypatch.setattr(writers, "pause", lambda _: gate.execute(opens))
        assert books.build(ledger.one_v1) == 2


def test_a_commit_that_does_not_end_is_told(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.append("account-a", 1)
    monkeypatch.setattr(rebuild, "WRITERS_WITHIN_S", 0.0)
    with (
        committing(books),
        pytest.raises(rebuild.Unsettled, match=r"1 transaction\(s\) that append events"),
    ):
        books.build(ledger.one_v1)


def test_a_writer_that_does_not_commit_yet_is_not_waited_for(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.append("account-a", 1)
    monkeypatch.setattr(rebuild, "WRITERS_WITHIN_S", 0.0)
    with psycopg.connect(books.dsn) as tx:
        store.append(tx, ledger.contracts, "account-a", [ledger.Booked(amount=2)], expected=1)
        assert books.build(ledger.one_v1) == 1


def test_a_worker_whose_version_is_dropped_says_so(books: Books) -> None:
    books.build(ledger.one_v1, "old")
    books.build(ledger.one_v2, "new")
    books.append("account-a", 1, 2)
    sink = books.sink(ledger.one_v2, "new")
    sink.apply(books.batch(books.changes(("account-a", 0))))
    with psycopg.connect(books.dsn) as connection:
        versions.drop(connection, "new")
    with pytest.raises(Busy, match="version 2 of projection balances is not built for this sink"):
        sink.apply(books.batch(books.changes(("account-a", 1))))


def test_tables_that_are_wrong_are_a_mistake_in_the_code(books: Books) -> None:
    of = sql_projection(
        "wrong",
        version=1,
        contracts=ledger.contracts,
        events=[ledger.Booked],
        tables="CREATE TABLE balances (account txt PRIMARY KEY)",
        statement="SELECT 1",
    )
    with pytest.raises(rebuild.Filled, match=r'projection wrong \(type "txt" does not exist\)'):
        books.build(of)
