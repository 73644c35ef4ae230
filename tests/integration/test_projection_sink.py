"""A projection where a real server has its own mind: repeats, gaps, forgeries, mistakes in code."""

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import psycopg
import pytest
from msgspec.structs import astuple

from connectors.spec import EVENTS
from consumer.errors import Busy, Fenced, Refused, Rejected
from consumer.event import Batch, ChangeEvent, Mark, Position, Record, Span
from eventstore import rebuild, store, versions
from eventstore.contracts import Contracts, Event
from eventstore.projection import Projection, projection
from eventstore.projection_sink import ProjectionSink
from eventstore.recorded import Recorded
from eventstore.shred import Personal, forget
from eventstore.writer import Writer
from tailrace.harness.databases import Databases
from tests import ledger
from tests.builders import P0

SINK = "books"
FORMS = {"one by one": ledger.one_v1, "a batch": ledger.many, "SQL": ledger.in_sql}


class Books:
    """A store and its read models in one database; what is stored travels when it is told to."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.offset = 0
        self.sinks: list[ProjectionSink] = []
        with psycopg.connect(dsn) as connection:
            store.create_schema(connection)

    def append(self, stream: str, *amounts: int) -> None:
        events = [ledger.Booked(amount=amount) for amount in amounts]
        with psycopg.connect(self.dsn) as tx:
            store.append(tx, ledger.contracts, stream, events, expected=store.ANY)

    def build(self, of: Projection, sink: str = SINK) -> int:
        return rebuild.build(self.dsn, self.dsn, sink, of, lambda: {P0: 0}, lambda done, all_: None)

    def now(self) -> datetime:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        now: datetime = row[0]
        return now

    def sink(self, of: Projection, sink: str = SINK, store_dsn: str = "") -> ProjectionSink:
        opened = ProjectionSink(self.dsn, sink, of, store_dsn or self.dsn)
        self.sinks.append(opened)
        opened.positions([P0])
        return opened

    def changes(self, *which: tuple[str, int]) -> list[ChangeEvent]:
        """As Debezium sends these events."""
        query = (
            "SELECT row_to_json(e) FROM (SELECT stream, pos, seq, id, type, version, data::text,"
            " meta::text, at FROM eventstore.events WHERE stream = %s AND pos = %s) AS e"
        )
        with psycopg.connect(self.dsn) as connection:
            rows = [connection.execute(query, each).fetchone() for each in which]
        return [self.change(row[0]) for row in rows if row]

    def change(self, row: dict[str, Any], op: str = "c") -> ChangeEvent:
        self.offset += 1
        record = Record(P0, self.offset - 1, b"{}", b"{}", (), 0)
        after = msgspec.Raw(json.dumps(row).encode())
        position = Position(0, self.offset, self.offset)
        return ChangeEvent(record, EVENTS, op, position, 0, msgspec.Raw(b"null"), after, True)

    def batch(self, changes: Sequence[ChangeEvent], start: int | None = None) -> Batch:
        stop = self.offset
        first = changes[0].record.offset if start is None else start
        mark = Mark(stop, Position(0, stop, stop), 0, 0)
        return Batch(changes, {P0: Span(first, stop)}, {P0: mark})

    def rows(self, view: str = "balances") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            query = b"SELECT account, amount, events FROM %s.balances ORDER BY 1" % view.encode()
            return connection.execute(query).fetchall()


@pytest.fixture
def books(new_database: Databases) -> Iterator[Books]:
    books = Books(new_database())
    yield books
    for sink in books.sinks:
        sink.close()


@pytest.mark.parametrize("form", FORMS)
def test_what_was_read_while_it_was_built_is_dropped_when_it_travels(
    books: Books, form: str
) -> None:
    of = FORMS[form]
    books.append("account-a", 1, 2)
    assert books.build(of) == 2
    books.append("account-a", 10)
    sink = books.sink(of)
    travelled = books.changes(("account-a", 0), ("account-a", 1), ("account-a", 2))
    outcome = sink.apply(books.batch(travelled))
    assert (outcome.written, outcome.stale) == (1, 2)
    assert books.rows(of.name) == [("account-a", 13, 3)]


def test_a_repeat_with_another_offset_is_dropped(books: Books) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1, 2)
    sink = books.sink(ledger.one_v1)
    sink.apply(books.batch(books.changes(("account-a", 0), ("account-a", 1))))
    sink.apply(books.batch(books.changes(("account-a", 1), ("account-a", 0), ("account-a", 1))))
    assert books.rows() == [("account-a", 3, 2)]


def test_what_the_log_left_out_comes_from_the_store(books: Books) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1, 2, 4, 8, 16)
    sink = books.sink(ledger.one_v1)
    sink.apply(books.batch(books.changes(("account-a", 2), ("account-a", 4))))
    assert books.rows() == [("account-a", 31, 5)]
    sink.apply(books.batch(books.changes(("account-a", 0), ("account-a", 3))))
    assert books.rows() == [("account-a", 31, 5)]


def test_what_the_store_does_not_have_is_refused(books: Books) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1)
    sink = books.sink(ledger.one_v1)
    (real,) = books.changes(("account-a", 0))
    row = json.loads(bytes(real.after)) | {"pos": 10**12}
    forged = books.change(row)
    with pytest.raises(Rejected) as caught:
        sink.apply(books.batch([real, forged]))
    ((refused, why),) = caught.value.refused
    assert refused is forged
    assert "event 1000000000000 of stream account-a, of which the event store has no 1" in why
    sink.apply(books.batch([real], 0))
    assert books.rows() == [("account-a", 1, 1)]


@pytest.mark.parametrize(
    ("op", "row", "told"),
    [
        ("u", {}, "append-only, and this change \\(u\\) rewrites it"),
        ("d", {}, "append-only, and this change \\(d\\) rewrites it"),
        ("c", {"stream": "a-1"}, "not a row of eventstore.events"),
    ],
)
def test_what_is_no_new_event_is_refused(
    books: Books, op: str, row: dict[str, Any], told: str
) -> None:
    books.build(ledger.one_v1)
    sink = books.sink(ledger.one_v1)
    with pytest.raises(Rejected, match=told):
        sink.apply(books.batch([books.change(row, op)]))


def test_a_mistake_in_its_code_holds_everything_and_loses_nothing(books: Books) -> None:
    is_broken = [True]

    @projection(
        "checked",
        version=1,
        contracts=ledger.contracts,
        events=[ledger.Booked],
        tables=ledger.TABLES,
    )
    def checked(tx: Writer, recorded: Recorded) -> None:
        tx.execute(ledger.ADD, [recorded.stream, 1, 1])
        if is_broken[0] and recorded.pos == 1:
            raise KeyError("secret-value")

    books.build(checked)
    books.append("account-a", 1, 2, 3)
    sink = books.sink(checked)
    batch = books.batch(books.changes(*(("account-a", pos) for pos in range(3))))
    with pytest.raises(Busy, match=r"account-a 0 and account-a 2 \(KeyError\)") as caught:
        sink.apply(batch)
    assert "secret-value" not in str(caught.value)
    assert books.rows("checked") == []
    is_broken[0] = False
    sink.apply(batch)
    assert books.rows("checked") == [("account-a", 3, 3)]


def test_an_event_of_newer_code_waits_for_it(books: Books) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1)
    (change,) = books.changes(("account-a", 0))
    newer = books.change(json.loads(bytes(change.after)) | {"version": 2})
    sink = books.sink(ledger.one_v1)
    with pytest.raises(Busy, match="this code knows 1 to 1: update this consumer"):
        sink.apply(books.batch([newer], 0))


def test_who_was_fenced_writes_nothing(books: Books) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1)
    zombie, owner = books.sink(ledger.one_v1), books.sink(ledger.one_v1)
    batch = books.batch(books.changes(("account-a", 0)))
    with pytest.raises(Fenced):
        zombie.apply(batch)
    assert books.rows() == []
    owner.apply(batch)
    assert books.rows() == [("account-a", 1, 1)]


def test_without_a_build_it_waits_and_says_for_what(books: Books) -> None:
    with pytest.raises(Busy, match="version 1 of projection balances is not built"):
        books.sink(ledger.one_v1)


def test_another_version_under_the_same_sink_is_refused(books: Books) -> None:
    books.build(ledger.one_v1)
    with pytest.raises(Refused, match="holds version 1 of projection balances, and the code has"):
        books.sink(ledger.one_v2)
    with pytest.raises(rebuild.Filled, match="version 1 of balances is built for this sink"):
        books.build(ledger.one_v2)
    with pytest.raises(rebuild.Filled, match="is that of sink books"):
        books.build(ledger.one_v1, "other")


def test_an_interrupted_build_begins_again(books: Books) -> None:
    books.append("account-a", 1, 2)

    class Interrupted(Exception):
        pass

    def interrupt(done: int, of: int) -> None:
        if done:
            raise Interrupted

    with pytest.raises(Interrupted):
        rebuild.build(books.dsn, books.dsn, SINK, ledger.one_v1, dict, interrupt)
    with pytest.raises(Busy, match="is being built"):
        books.sink(ledger.one_v1)
    books.build(ledger.one_v1)
    assert books.rows() == [("account-a", 3, 2)]


def test_readers_see_all_of_one_version_at_every_moment(books: Books) -> None:
    """A reader that never stops, while versions are switched to and fro."""
    for number in range(200):
        books.append(f"account-{number}", number)
    books.build(ledger.one_v1, "old")
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as connection:
        connection.execute("UPDATE balances_v2.balances SET amount = amount + 1000000")
    seen: set[int] = set()
    stopped = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        with psycopg.connect(books.dsn, autocommit=True) as reader:
            while not stopped.is_set():
                try:
                    row = reader.execute("SELECT sum(amount) FROM balances.balances").fetchone()
                    assert row is not None
                    seen.add(int(row[0]))
                except Exception as error:
                    failures.append(error)
                    return

    thread = threading.Thread(target=read)
    thread.start()
    with psycopg.connect(books.dsn) as connection:
        for number in range(60):
            versions.switch(connection, "new" if number % 2 == 0 else "old")
            connection.commit()
    stopped.set()
    thread.join()
    total = sum(range(200))
    assert failures == []
    assert seen == {total, total + 200 * 1_000_000}


def test_differences_are_counted_by_table(books: Books) -> None:
    books.append("account-a", 1)
    books.append("account-b", 2)
    books.build(ledger.one_v1, "old")
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as connection:
        shown, new = versions.find(connection, "old"), versions.find(connection, "new")
        assert shown is not None
        assert new is not None
        assert versions.are_level(connection, "old", "new")
        assert [*map(astuple, versions.differences(connection, shown, new))] == [("balances", 0, 0)]
        connection.execute("UPDATE balances_v2.balances SET amount = 9 WHERE account = 'account-b'")
        assert [*map(astuple, versions.differences(connection, shown, new))] == [("balances", 1, 1)]
        connection.execute("ALTER TABLE balances_v2.balances ADD more int")
        assert [*map(astuple, versions.differences(connection, shown, new))] == [
            ("balances", None, None)
        ]


def test_a_version_of_a_range_of_time(books: Books) -> None:
    books.append("account-a", 1)
    between = books.now()
    books.append("account-a", 2, 4)
    rebuild.build(books.dsn, books.dsn, "early", ledger.one_v1, dict, _silent, until=between)
    rebuild.build(
        books.dsn, books.dsn, "late", ledger.one_v2, lambda: {P0: 0}, _silent, since=between
    )
    assert books.rows("balances_v1") == [("account-a", 1, 1)]
    assert books.rows() == books.rows("balances_v2") == [("account-a", 6, 2)]
    with pytest.raises(Busy, match="up to a time, so it does not follow the log"):
        books.sink(ledger.one_v1, "early")
    books.append("account-a", 8)
    late = books.sink(ledger.one_v2, "late")
    late.apply(books.batch(books.changes(*(("account-a", pos) for pos in range(4)))))
    assert books.rows() == [("account-a", 14, 3)]


def _silent(done: int, of: int) -> None:
    pass


def test_personal_fields_are_readable_until_they_are_erased(books: Books) -> None:
    people = Contracts("/people")

    @people.event("person.named")
    class Named(Event):
        person: str
        name: Annotated[str, Personal("person")]

    def declare(version: int) -> Projection:
        @projection(
            "names",
            version=version,
            contracts=people,
            events=[Named],
            tables="CREATE TABLE names (person text PRIMARY KEY, name text)",
        )
        def names(tx: Writer, recorded: Recorded) -> None:
            event = recorded.event
            assert isinstance(event, Named)
            tx.execute("INSERT INTO names VALUES (%s, %s)", [event.person, event.name])

        return names

    def named(person: str) -> None:
        with psycopg.connect(books.dsn) as tx:
            events = [Named(person=person, name=person.upper())]
            store.append(tx, people, f"person-{person}", events, expected=store.NEW)

    def shown() -> list[tuple[Any, ...]]:
        with psycopg.connect(books.dsn) as connection:
            return connection.execute("SELECT * FROM names.names ORDER BY 1").fetchall()

    named("ada")
    first = declare(1)
    books.build(first)
    named("bob")
    (change,) = books.changes(("person-bob", 0))
    assert b"BOB" not in bytes(change.after)
    books.sink(first).apply(books.batch([change], 0))
    assert shown() == [("ada", "ADA"), ("bob", "BOB")]
    with psycopg.connect(books.dsn) as tx:
        forget(tx, "ada")
    books.build(declare(2), "again")
    with psycopg.connect(books.dsn) as tx:
        versions.switch(tx, "again")
    assert shown() == [("ada", "[erased]"), ("bob", "BOB")]
