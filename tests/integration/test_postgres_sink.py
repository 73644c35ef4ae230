"""The Postgres sink where a real server has its own mind: refusals, kills, lost connections."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consumer.errors import Busy, Refused, Rejected
from consumer.event import Batch
from sinks.marks import create_schema
from sinks.postgres import PostgresSink
from tailrace.harness.databases import Databases
from tests.builders import P0, TABLE, Log, key, value

GUARDS = (
    "_cdc_gen int NOT NULL DEFAULT 0, _cdc_commit bigint NOT NULL DEFAULT -1,"
    " _cdc_lsn bigint NOT NULL DEFAULT 0"
)
TOKEN = "unchanged-0123456789abcdef"
STEPS = ("advanced", "copied", "staged", "upserted", "before commit")


class Database:
    def __init__(self, dsn: str, columns: str) -> None:
        self.dsn = dsn
        with psycopg.connect(dsn) as connection:
            create_schema(connection)
            connection.execute(f"CREATE TABLE t ({columns}, {GUARDS})".encode())

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def sink(self, **options: Any) -> PostgresSink:
        return PostgresSink(self.dsn, "mirror", [TABLE], TOKEN, **options)


@pytest.fixture
def simple(new_database: Databases) -> Database:
    return Database(new_database(), "id int PRIMARY KEY, note text CHECK (note <> 'bad')")


def row(log: Log, id_: int, note: str | None, lsn: int, op: str = "c") -> Any:
    after = {"id": id_, "note": note}
    return log.record(key(id=id_), value(op, after=after, lsn=lsn, commit=lsn - 1))


def applied(database: Database, *batches: Batch) -> None:
    sink = database.sink()
    sink.positions([P0])
    for batch in batches:
        sink.apply(batch)
    sink.close()


@pytest.mark.parametrize("op", ["c", "u"])
def test_what_a_constraint_refuses_is_named(simple: Database, op: str) -> None:
    """Whether copied or staged, with the first batch of a session."""
    log, sink = Log(), simple.sink()
    sink.positions([P0])
    notes = ["bad" if i in (3, 8) else "ok" for i in range(10)]
    batch = log.batch(*(row(log, i, note, 10 + i, op) for i, note in enumerate(notes)))
    with pytest.raises(Rejected) as caught:
        sink.apply(batch)
    sink.close()
    assert sorted(change.key for change, _ in caught.value.refused) == [key(id=3), key(id=8)]
    assert caught.value.refused[0][1] == (
        "public.t refuses it by constraint t_note_check (23514 CheckViolation)"
    )
    assert simple.sql("SELECT count(*) FROM t") == [(0,)]


def test_a_value_that_does_not_fit_its_column_is_named_without_the_value(
    new_database: Databases,
) -> None:
    narrow = Database(new_database(), "id int PRIMARY KEY, note varchar(3)")
    log, sink = Log(), narrow.sink()
    sink.positions([P0])
    with pytest.raises(Rejected) as caught:
        sink.apply(log.batch(row(log, 1, "secret", 10)))
    sink.close()
    assert "refuses the value of column note" in caught.value.refused[0][1]
    assert "secret" not in caught.value.refused[0][1]


@pytest.mark.parametrize(
    ("typname", "poison"),
    [
        ("date", ""),
        ("date", "+nonsense"),
        ("numeric", ""),
        ("int[]", [[1]]),
        ("point", {"y": 1}),
        ("bytea", "xyz"),
    ],
)
def test_a_value_that_no_column_can_hold_is_refused(
    new_database: Databases, typname: str, poison: object
) -> None:
    odd = Database(new_database(), f"id int PRIMARY KEY, note {typname}")
    log, sink = Log(), odd.sink()
    sink.positions([P0])
    good = log.record(key(id=1), value("c", after={"id": 1, "note": None}, lsn=10))
    bad = log.record(key(id=2), value("c", after={"id": 2, "note": poison}, lsn=12))
    with pytest.raises(Rejected) as caught:
        sink.apply(log.batch(good, bad))
    sink.close()
    assert [change.key for change, _ in caught.value.refused] == [key(id=2)]


def test_a_json_value_of_the_wrong_type_is_refused(simple: Database) -> None:
    log, sink = Log(), simple.sink()
    sink.positions([P0])
    wrong = log.record(key(id=1), value("c", after={"id": 1, "note": 7}, lsn=10))
    with pytest.raises(Rejected, match="not of its column's type"):
        sink.apply(log.batch(wrong))
    sink.close()


def test_a_column_that_the_target_lacks_makes_the_changes_wait(simple: Database) -> None:
    log, sink = Log(), simple.sink()
    sink.positions([P0])
    after = {"id": 1, "note": "x", "more": 1}
    batch = log.batch(log.record(key(id=1), value("c", after=after, lsn=10)))
    with pytest.raises(Busy, match=r"has no column more: run `tailrace schema apply`"):
        sink.apply(batch)
    simple.sql("ALTER TABLE t ADD COLUMN more int")
    sink.apply(batch)
    sink.close()
    assert simple.sql("SELECT id, note, more FROM t") == [(1, "x", 1)]


def test_a_missing_table_makes_the_changes_wait(simple: Database) -> None:
    log, sink = Log(), simple.sink()
    simple.sql("ALTER TABLE t RENAME TO elsewhere")
    sink.positions([P0])
    batch = log.batch(row(log, 1, "x", 10))
    with pytest.raises(Busy, match=r"no table public.t: run `tailrace schema apply`"):
        sink.apply(batch)
    simple.sql("ALTER TABLE elsewhere RENAME TO t")
    sink.apply(batch)
    sink.close()
    assert simple.sql("SELECT id FROM t") == [(1,)]


def test_events_older_than_a_column_leave_it_alone(simple: Database) -> None:
    simple.sql("ALTER TABLE t ADD COLUMN more int DEFAULT 5")
    log = Log()
    applied(simple, log.batch(row(log, 1, "a", 10)), log.batch(row(log, 1, "b", 12, "u")))
    assert simple.sql("SELECT id, note, more FROM t") == [(1, "b", 5)]


def test_an_unchanged_large_value_is_left_alone(simple: Database) -> None:
    log = Log()
    applied(
        simple,
        log.batch(row(log, 1, "large", 10), row(log, 2, "two", 11)),
        log.batch(row(log, 1, TOKEN, 12, "u"), row(log, 2, "changed", 13, "u")),
    )
    assert simple.sql("SELECT id, note FROM t ORDER BY id") == [(1, "large"), (2, "changed")]


def test_an_unchanged_large_value_of_a_row_that_is_not_there_is_refused(simple: Database) -> None:
    log, sink = Log(), simple.sink()
    sink.positions([P0])
    with pytest.raises(Rejected, match="leaves out a large value"):
        sink.apply(log.batch(row(log, 1, TOKEN, 12, "u"), row(log, 2, "x", 13)))
    sink.close()


def test_an_unchanged_large_value_beside_a_repeat_comes_from_the_same_batch(
    simple: Database,
) -> None:
    log = Log()
    first = log.batch(row(log, 9, "nine", 10))
    again = log.batch(
        row(log, 9, "nine", 10),  # a repeat: nothing in this batch may go the short way
        row(log, 1, "large", 12),
        row(log, 1, TOKEN, 14, "u"),
    )
    applied(simple, first, again)
    assert simple.sql("SELECT id, note FROM t ORDER BY id") == [(1, "large"), (9, "nine")]


def test_what_was_staged_before_a_truncate_does_not_come_back_after_it(simple: Database) -> None:
    log = Log()
    before = row(log, 1, "before", 10, "u")
    truncate = log.record(None, value("t", lsn=20, commit=19))
    applied(simple, log.batch(before, truncate, row(log, 2, "after", 30, "u")))
    assert simple.sql("SELECT id, note FROM t") == [(2, "after")]


def test_tombstones_are_pruned_by_age(simple: Database) -> None:
    log = Log()
    applied(simple, log.batch(row(log, 1, "a", 10)))
    simple.sql(
        "INSERT INTO tailrace.tombstones VALUES"
        " ('public.t', 'old', 0, 1, 1, now() - interval '9 d'),"
        " ('public.t', 'young', 0, 1, 1, now() - interval '1 d'),"
        " ('public.t', '', 0, 1, 1, now() - interval '9 d')"
    )
    second = simple.sink()
    log.restart(second.positions([P0]))
    second.apply(log.batch(row(log, 2, "b", 12)))
    second.close()
    assert simple.sql("SELECT key FROM tailrace.tombstones ORDER BY key") == [("",), ("young",)]


def test_rows_that_were_there_before_are_taken_over(simple: Database) -> None:
    simple.sql("INSERT INTO t VALUES (1, 'older')")
    log = Log()
    applied(simple, log.batch(row(log, 1, "new", 10), row(log, 2, "new", 11)))
    assert simple.sql("SELECT id, note FROM t ORDER BY id") == [(1, "new"), (2, "new")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ("id int PRIMARY KEY, note path", "column note of public.t has the type path"),
        ("id int, note text", "has no primary key"),
    ],
)
def test_a_target_that_cannot_hold_the_rows_is_refused_at_start(
    new_database: Databases, columns: str, sentence: str
) -> None:
    sink = Database(new_database(), columns).sink()
    with pytest.raises(Refused, match=sentence):
        sink.positions([P0])
    sink.close()


def test_a_target_without_guard_columns_is_refused_at_start(simple: Database) -> None:
    simple.sql("ALTER TABLE t DROP COLUMN _cdc_gen, DROP COLUMN _cdc_commit, DROP COLUMN _cdc_lsn")
    sink = simple.sink()
    with pytest.raises(Refused, match="no guard columns"):
        sink.positions([P0])
    sink.close()


def test_a_wrong_password_is_busy_and_says_so(simple: Database) -> None:
    user, at = simple.dsn.split("@")
    sink = PostgresSink(f"{user}wrong@{at}", "mirror", [TABLE], TOKEN)
    with pytest.raises(Busy, match="password authentication failed"):
        sink.positions([P0])


def test_a_cut_connection_is_busy_and_then_goes_on(simple: Database) -> None:
    log, sink = Log(), simple.sink()
    sink.positions([P0])
    sink.apply(log.batch(row(log, 1, "a", 10)))
    simple.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tailrace sink' AND datname = current_database()"
    )
    batch = log.batch(row(log, 2, "b", 12))
    with pytest.raises(Busy):
        sink.apply(batch)
    sink.apply(batch)
    sink.close()
    assert simple.sql("SELECT count(*) FROM t") == [(2,)]


def test_a_lost_answer_to_commit_is_looked_up(simple: Database) -> None:
    log = Log()

    def cut(step: str) -> None:
        if step == "after commit":
            raise psycopg.OperationalError("the connection was lost in COMMIT")

    sink = simple.sink(reached=cut)
    sink.positions([P0])
    batch = log.batch(row(log, 1, "a", 10))
    with pytest.raises(Busy, match="lost in COMMIT"):
        sink.apply(batch)
    sink._ledger._in_doubt = True  # the answer was lost, the transaction was not
    outcome = sink.apply(batch)
    sink.close()
    assert outcome.written == 1
    assert simple.sql("SELECT count(*) FROM t") == [(1,)]


@pytest.mark.parametrize("step", STEPS)
def test_killed_inside_the_transaction_nothing_of_it_stays(simple: Database, step: str) -> None:
    """A real SIGKILL of a process that has the transaction open."""
    log = Log()
    applied(simple, log.batch(row(log, 1, "a", 10)))
    code = subprocess.run(
        [sys.executable, "-c", KILLED, simple.dsn, step],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ).returncode
    assert code == -signal.SIGKILL
    assert simple.sql("SELECT id, note FROM t") == [(1, "a")]
    assert simple.sql("SELECT next_offset FROM tailrace.offsets") == [(1,)]
    second = simple.sink()
    log.restart(second.positions([P0]))
    second.apply(log.batch(row(log, 1, "b", 12, "u"), row(log, 2, "new", 13)))
    second.close()
    assert simple.sql("SELECT id, note FROM t ORDER BY id") == [(1, "b"), (2, "new")]


KILLED = """
import os, signal, sys
from tests.integration.test_postgres_sink import Log, PostgresSink, P0, TABLE, TOKEN, row

def reached(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

sink = PostgresSink(sys.argv[1], "mirror", [TABLE], TOKEN, reached=reached)
log = Log(marks=sink.positions([P0]))
sink.apply(log.batch(row(log, 1, "b", 12, "u"), row(log, 2, "new", 13)))
"""
