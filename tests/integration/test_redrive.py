"""Parked changes written once more beside a worker: a key never goes back (I3)."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from consumer.errors import Rejected
from consumer.event import Batch, ChangeEvent, Mark, Position
from consumer.plan import without
from sinks.marks import SESSION, create_schema
from sinks.postgres import PostgresSink
from sinks.redrive import Redrive
from sinks.target import read_targets
from tailrace.harness.databases import Databases
from tailrace.harness.waits import eventually
from tests.builders import P0, TABLE, Log, key, value
from tests.integration.test_postgres_sink import GUARDS, TOKEN

NOW_US = time.time_ns() // 1000


class Mirror:
    """A target with its worker's sink, and a log whose changes are of now."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.log = Log()
        with psycopg.connect(dsn) as connection:
            create_schema(connection)
            connection.execute(
                f"CREATE TABLE t (id int PRIMARY KEY, note text CHECK (note <> 'bad'), {GUARDS})"
            )
        self.worker = PostgresSink(dsn, "mirror", [TABLE], TOKEN, reached=self.reached)
        self.worker.positions([P0])
        self.at_step: Any = None

    def reached(self, step: str) -> None:
        if step == "before commit" and self.at_step is not None:
            self.at_step()

    def batch(self, id_: int, note: str | None, lsn: int, op: str, **how: Any) -> Batch:
        after = None if op == "d" else {"id": id_, "note": note}
        made = value(op, after=after, lsn=lsn, commit=lsn - 1, **{"ts_us": NOW_US} | how)
        return self.log.batch(self.log.record(None if op == "t" else key(id=id_), made))

    def apply(self, *change: Any, **how: Any) -> None:
        self.worker.apply(self.batch(*change, **how))

    def park(self, *change: Any, **how: Any) -> ChangeEvent:
        """The worker goes past this change without it; as it is redriven."""
        batch = self.batch(*change, **how)
        (parked,) = batch.changes
        self.worker.apply(without(batch, Rejected([(parked, "refused")])))
        return replace(parked, fresh=False)

    def redrive(self, *changes: ChangeEvent) -> list[bool | str]:
        """Of each change: whether it was written, or why it was refused; committed."""
        with psycopg.connect(self.dsn, options=SESSION) as connection:
            targets = read_targets(connection, [TABLE])
            redrive = Redrive(connection, "mirror", P0, targets, TOKEN)
            return [self._one(connection, redrive, change) for change in changes]

    def _one(self, connection: Any, redrive: Redrive, change: ChangeEvent) -> bool | str:
        try:
            with connection.transaction():
                return redrive.write(change)
        except Rejected as rejected:
            return rejected.refused[0][1]

    def rows(self) -> list[tuple[Any, ...]]:
        return self.sql("SELECT id, note FROM t ORDER BY id")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def mirror(new_database: Databases) -> Any:
    made = Mirror(new_database())
    yield made
    made.worker.close()


def test_a_parked_row_is_written_and_what_overtook_it_stays(mirror: Mirror) -> None:
    one = mirror.park(1, "one", 10, "c")
    two = mirror.park(2, "two", 11, "c")
    gone = mirror.park(3, "three", 12, "c")
    mirror.apply(2, "newer", 20, "u")
    mirror.apply(3, None, 21, "d")
    offsets = mirror.sql("SELECT * FROM tailrace.offsets")
    assert mirror.redrive(one, two, gone) == [True, False, False]
    assert mirror.rows() == [(1, "one"), (2, "newer")]
    assert mirror.redrive(one) == [False]
    assert mirror.sql("SELECT * FROM tailrace.offsets") == offsets


def test_one_that_is_refused_again_takes_nothing_else_with_it(mirror: Mirror) -> None:
    parked = [mirror.park(i, "bad" if i == 2 else "ok", 10 + i, "c") for i in range(1, 4)]
    before, refused, after = mirror.redrive(*parked)
    assert (before, after) == (True, True)
    assert "constraint t_note_check" in str(refused)
    assert mirror.rows() == [(1, "ok"), (3, "ok")]


def test_a_delete_that_the_worker_has_not_committed_wins(mirror: Mirror) -> None:
    """The interleaving for which the partition's mark is locked first."""
    parked = mirror.park(5, "five", 20, "c")
    with ThreadPoolExecutor(1) as pool:
        redrives: list[Any] = []

        def meanwhile() -> None:
            redrives.append(pool.submit(mirror.redrive, parked))
            eventually(
                lambda: redrives[0].done() or somebody_waits(mirror), 30, "a redrive that waits"
            )

        mirror.at_step = meanwhile
        mirror.apply(5, None, 30, "d")
        assert redrives[0].result(30) == [False]
    assert mirror.rows() == []


def somebody_waits(mirror: Mirror) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type"
    return bool(mirror.sql(f"{query} = 'Lock'"))


def test_the_worker_waits_for_a_redrive_and_comes_after_it(mirror: Mirror) -> None:
    parked = mirror.park(5, "five", 20, "c")
    with psycopg.connect(mirror.dsn, options=SESSION) as connection, ThreadPoolExecutor(1) as pool:
        redrive = Redrive(connection, "mirror", P0, read_targets(connection, [TABLE]), TOKEN)
        assert redrive.write(parked)
        worker = pool.submit(mirror.apply, 5, None, 30, "d")
        eventually(lambda: worker.done() or somebody_waits(mirror), 30, "a worker that waits")
        assert not worker.done()
        connection.commit()
        worker.result(30)
    assert mirror.rows() == []


def test_what_the_worker_has_not_passed_is_left_to_it(mirror: Mirror) -> None:
    """Above the mark the worker looks at no tombstone: a delete there would be undone by it."""
    mirror.apply(1, "one", 10, "c")
    (ahead,) = mirror.batch(1, None, 30, "d").changes
    (told,) = mirror.redrive(replace(ahead, fresh=False))
    assert "its worker decides first" in str(told)
    assert mirror.sql("SELECT * FROM tailrace.tombstones") == []


def test_a_partition_that_the_sink_does_not_know_is_refused(mirror: Mirror) -> None:
    parked = mirror.park(1, "one", 10, "c")
    mirror.sql("DELETE FROM tailrace.offsets")
    (told,) = mirror.redrive(parked)
    assert "no mark for its partition" in str(told)


def test_what_is_older_than_tombstones_is_refused_unless_it_is_a_delete(mirror: Mirror) -> None:
    long_ago_us = NOW_US - 8 * 86_400_000_000
    old = mirror.park(1, "one", 10, "c", ts_us=long_ago_us)
    delete = mirror.park(2, None, 11, "d", ts_us=long_ago_us)
    told, deleted = mirror.redrive(old, delete)
    assert "committed more than 7 days ago" in str(told)
    assert deleted is True
    assert mirror.rows() == []


def test_an_older_life_never_beats_a_newer_snapshot(mirror: Mirror) -> None:
    """The letter has a higher LSN than the new life's snapshot: only its own `gen` tells."""
    streamed = mirror.park(1, "old life", 50, "u")
    later_us = NOW_US + 60_000_000
    mirror.apply(1, "snapshot", 40, "r", ts_us=later_us)
    assert mirror.sql("SELECT _cdc_gen, _cdc_commit FROM t") == [(1, -1)]
    assert streamed.position == Position(0, 49, 50)
    assert mirror.redrive(streamed) == [False]
    assert mirror.rows() == [(1, "snapshot")]


def test_a_row_of_a_snapshot_never_beats_what_was_streamed(mirror: Mirror) -> None:
    read = mirror.park(1, "read", 100, "r")
    mirror.apply(1, "streamed", 20, "u")
    assert mirror.redrive(read) == [False]
    assert mirror.rows() == [(1, "streamed")]


def test_a_truncate_between_two_letters_is_a_barrier(mirror: Mirror) -> None:
    before = mirror.park(1, "before", 10, "c")
    truncate = mirror.park(0, None, 20, "t")
    after = mirror.park(2, "after", 30, "c")
    assert mirror.redrive(before, truncate, after, before) == [True, True, True, False]
    assert mirror.rows() == [(2, "after")]


def test_marks_are_what_the_worker_left(mirror: Mirror) -> None:
    parked = mirror.park(1, "one", 10, "c")
    mirror.redrive(parked)
    mark: Mark = mirror.worker.positions([P0])[P0]
    assert (mark.next_offset, mark.position) == (1, Position(0, 9, 10))
