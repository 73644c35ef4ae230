"""Rows of a mirror that are mended beside its worker: which, when not, and what wins afterwards."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from consumer.event import Position
from sinks import writers
from sinks.marks import create_schema
from sinks.postgres import PostgresSink
from supervision import mirror
from supervision.mirror import Finding, Mirror, Unsettled
from tailrace.harness.databases import Databases
from tailrace.harness.waits import eventually
from tests.builders import P0, P1, TABLE, Log, key, value
from tests.integration.test_postgres_sink import GUARDS, TOKEN

COLUMNS = "id int PRIMARY KEY, note text CHECK (note <> 'bad'), at timestamptz, tags text[]"


class Pair:
    """A source, and its mirror as a worker left it; rows 1 to 5, each from LSN 10 * id."""

    def __init__(self, source: str, target: str) -> None:
        self.source = psycopg.connect(source)
        self.target = psycopg.connect(target)
        self.by_hand = psycopg.connect(target, autocommit=True)
        self.writer = psycopg.connect(source, autocommit=True)
        self.by_hand.execute(f"CREATE TABLE t ({COLUMNS}, {GUARDS})".encode())
        self.writer.execute(f"CREATE TABLE t ({COLUMNS})".encode())
        create_schema(self.by_hand)
        self.log = Log()
        self.before_commit: Callable[[], None] = lambda: None
        self.worker = PostgresSink(target, "mirror", [TABLE], TOKEN, reached=self._reached)
        self.worker.positions([P0])
        for id_ in range(1, 6):
            self.write(id_, f"note {id_}", 10 * id_)
        self.mirror = self.open()

    def _reached(self, step: str) -> None:
        if step == "before commit":
            self.before_commit()

    def open(self) -> Mirror:
        return Mirror(self.source, self.target, TABLE, "mirror", P0.topic)

    def write(self, id_: int, note: str, lsn: int) -> None:
        """In the source, and as it arrives."""
        self.writer.execute(
            "INSERT INTO t (id, note) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET note = %s",
            [id_, note, note],
        )
        self.arrives("u", id_, note, lsn)

    def arrives(self, op: str, id_: int, note: str | None, lsn: int) -> None:
        row = None if op == "d" else {"id": id_, "note": note, "at": None, "tags": None}
        made = value(op, after=row, lsn=lsn, commit=lsn - 1)
        self.worker.apply(self.log.batch(self.log.record(key(id=id_), made)))

    def find(self, *ids: int, passed: Any = lambda: None) -> list[Finding]:
        keys = [{"id": str(id_)} for id_ in ids]
        before = self.mirror.look(keys)
        passed()
        return self.mirror.findings(keys, before)

    def mend(self, finding: Finding) -> tuple[str, list[str | None]]:
        told: list[str | None] = []
        with self.target.transaction():
            outcome = self.mirror.mend(finding, told.append)
        return outcome, told

    def row(self, id_: int) -> Any:
        query = "SELECT note, _cdc_gen, _cdc_commit, _cdc_lsn FROM t WHERE id = %s"
        found = self.by_hand.execute(query, [id_]).fetchone()
        return found and (found[0], Position(*found[1:]))

    def close(self) -> None:
        self.worker.close()
        for each in (self.source, self.target, self.by_hand, self.writer):
            each.close()


@pytest.fixture
def pair(new_source: Databases, new_database: Databases) -> Iterator[Pair]:
    made = Pair(new_source(), new_database())
    yield made
    made.close()


def test_each_kind_is_found_and_mended_and_keeps_its_position(pair: Pair) -> None:
    pair.by_hand.execute("UPDATE t SET note = 'by hand' WHERE id = 1")
    pair.by_hand.execute("DELETE FROM t WHERE id = 2")
    pair.by_hand.execute("INSERT INTO t (id, note) VALUES (9, 'by hand')")
    found = pair.find(1, 2, 3, 9)
    assert [(one.kind, one.key, one.columns) for one in found] == [
        ("changed", {"id": "1"}, ["note"]),
        ("missing", {"id": "2"}, []),
        ("extra", {"id": "9"}, []),
    ]
    assert [pair.mend(one) for one in found] == [("mended", [one.source]) for one in found]
    assert pair.row(1) == ("note 1", Position(0, 9, 10))
    assert pair.row(2) == ("note 2", Position(0, 49, 50))  # the newest that the sink has
    assert pair.row(9) is None
    assert pair.find(1, 2, 3, 9) == []
    assert [pair.mend(one)[0] for one in found] == ["overtaken"] * 3


def test_a_later_change_wins_and_a_repeat_does_not(pair: Pair) -> None:
    pair.by_hand.execute("UPDATE t SET note = 'by hand' WHERE id = 1")
    pair.by_hand.execute("DELETE FROM t WHERE id = 2")
    pair.writer.execute("DELETE FROM t WHERE id = 3")  # and the delete was lost
    for finding in pair.find(1, 2, 3):
        assert pair.mend(finding)[0] == "mended"
    for id_, lsn in ((1, 10), (2, 20), (3, 30)):
        pair.arrives("u", id_, "an older one", lsn)
    assert (pair.row(1)[0], pair.row(2)[0], pair.row(3)) == ("note 1", "note 2", None)
    for id_ in (1, 2, 3):
        pair.arrives("u", id_, "a later one", 60 + id_)
    assert [pair.row(id_)[0] for id_ in (1, 2, 3)] == ["a later one"] * 3


def test_what_is_not_applied_yet_is_no_drift(pair: Pair) -> None:
    pair.writer.execute("UPDATE t SET note = 'soon' WHERE id = 1")
    pair.writer.execute("DELETE FROM t WHERE id = 2")
    pair.writer.execute("INSERT INTO t VALUES (6, 'soon')")

    def passed() -> None:
        pair.arrives("u", 1, "soon", 60)
        pair.arrives("d", 2, None, 70)
        pair.arrives("c", 6, "soon", 80)

    assert pair.find(1, 2, 6, passed=passed) == []
    pair.by_hand.execute("UPDATE t SET note = 'by hand' WHERE id = 1")
    writes = "UPDATE t SET note = 'once more' WHERE id = 1"
    assert pair.find(1, passed=lambda: pair.writer.execute(writes)) == []


@pytest.mark.parametrize("note", ["newer", "by hand"])
def test_a_row_that_moved_since_it_was_seen_is_left_alone(pair: Pair, note: str) -> None:
    """The worker's newer change is in the sink, and not (to be seen) in the source: it stays."""
    pair.by_hand.execute("UPDATE t SET note = 'by hand' WHERE id = 1")
    (finding,) = pair.find(1)
    pair.arrives("u", 1, note, 60)
    assert pair.mend(finding) == ("overtaken", [])
    assert pair.row(1) == (note, Position(0, 59, 60))


def test_a_transaction_of_the_worker_is_waited_for(pair: Pair) -> None:
    pair.by_hand.execute("UPDATE t SET note = 'by hand' WHERE id = 1")
    (finding,) = pair.find(1)
    with ThreadPoolExecutor(1) as pool:
        tried: list[Future[Any]] = []

        def try_it() -> None:
            tried.append(pool.submit(pair.mend, finding))
            waits = "SELECT FROM pg_locks WHERE NOT granted AND pid = %s"
            pid = [pair.target.info.backend_pid]
            eventually(lambda: pair.by_hand.execute(waits, pid).rowcount == 1, 30, "it waits")

        pair.before_commit = try_it
        pair.arrives("u", 1, "newer", 60)
        assert tried[0].result()[0] == "overtaken"
    assert pair.row(1) == ("newer", Position(0, 59, 60))


def test_the_slowest_partition_decides_where_a_missing_row_begins(pair: Pair) -> None:
    """Else a change of it that is still on its way in a slower partition would be dropped."""
    pair.worker.positions([P0, P1])
    pair.by_hand.execute("DELETE FROM t WHERE id = 2")
    pair.by_hand.execute(
        "UPDATE tailrace.offsets SET commit = 29, lsn = 30 WHERE partition = %s", [P1.partition]
    )
    (finding,) = pair.find(2)
    pair.mend(finding)
    assert pair.row(2)[1] == Position(0, 29, 30)
    pair.by_hand.execute("DELETE FROM t WHERE id = 2")
    pair.by_hand.execute("INSERT INTO tailrace.tombstones VALUES ('public.t', '', 0, 39, 40)")
    (finding,) = pair.find(2)
    pair.mend(finding)
    assert pair.row(2)[1] == Position(0, 39, 40)  # a TRUNCATE that comes again would take it


def test_every_value_travels_as_it_is(pair: Pair) -> None:
    pair.writer.execute(
        "UPDATE t SET note = E'a\\'b\\\\ \"\\n', at = '2026-03-01 12:00:00.000001+02',"
        ' tags = \'{NULL,"NULL","","a,b"}\' WHERE id = 1'
    )
    (finding,) = pair.find(1)
    assert pair.mend(finding)[0] == "mended"
    assert pair.find(1) == []
    query = "SELECT note, at, tags FROM t WHERE id = 1"
    assert pair.by_hand.execute(query).fetchone() == pair.writer.execute(query).fetchone()


def test_without_a_worker_nothing_is_done(pair: Pair) -> None:
    pair.by_hand.execute("DELETE FROM t WHERE id = 1")
    (finding,) = pair.find(1)
    pair.by_hand.execute("DELETE FROM tailrace.offsets")
    with pytest.raises(Unsettled, match="start its worker first"):
        pair.mend(finding)


@contextmanager
def committing(pair: Pair, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A writer whose commit is held up by `gate`, as a standby might."""
    gate = pair.writer
    gate.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$"
    )
    gate.execute(
        "CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    gate.execute("SELECT pg_advisory_lock(1)")
    with psycopg.connect(pair.writer.info.dsn, password=pair.writer.info.password) as tx:
        tx.execute(statement.encode())
        thread = threading.Thread(target=tx.commit)
        thread.start()
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = %s"
        eventually(lambda: gate.execute(waits, [tx.info.backend_pid]).rowcount == 1, 30, "it waits")
        try:
            yield gate
        finally:
            gate.execute("SELECT pg_advisory_unlock_all()")
            thread.join()


def test_a_commit_that_the_sink_may_have_already_is_waited_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the log is applied, though no snapshot of the source shows it yet."""
    with committing(pair, "UPDATE t SET note = 'early' WHERE id = 1") as gate:
        pair.arrives("u", 1, "early", 60)
        monkeypatch.setattr(mirror, "WRITERS_WITHIN_S", 0.0)
        with pytest.raises(Unsettled, match=r"1 transaction\(s\) that write public.t"):
            pair.find(1)
        monkeypatch.setattr(mirror, "WRITERS_WITHIN_S", 10.0)
        opens = "SELECT pg_advisory_unlock_all()"
        monkeypatch.setattr(writers, "pause", lambda _: gate.execute(opens))
        assert pair.find(1) == []
