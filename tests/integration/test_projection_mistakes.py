"""Projections in people's hands: code that ends transactions, schemas that are taken, forgeries."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
import pytest
from msgspec.structs import astuple

from consumer.errors import Busy, Rejected
from eventstore import rebuild, versions, writer
from eventstore.projection import Projection, Tx, batch_projection, projection, sql_projection
from eventstore.recorded import Recorded
from eventstore.writer import Writer
from tests import ledger
from tests.builders import P0
from tests.integration.test_projection_sink import Books
from tests.integration.test_projection_sink import books as books

END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def declared(
    name: str, act: Callable[[Tx], Any], version: int = 1, tables: LiteralString = ledger.TABLES
) -> Projection:
    """Adds what `balances` does, and then acts."""

    @batch_projection(
        name,
        version=version,
        contracts=ledger.contracts,
        events=[ledger.Booked],
        tables=tables,
    )
    def made(tx: Tx, events: Sequence[Recorded]) -> None:
        for recorded in events:
            tx.execute(ledger.ADD, [recorded.stream, 1, 1])
        act(tx)

    return made


def one_by_one(act: Callable[[Writer], Any]) -> Projection:
    """The same, an event at a time."""

    @projection(
        "single",
        version=1,
        contracts=ledger.contracts,
        events=[ledger.Booked],
        tables=ledger.TABLES,
    )
    def made(tx: Writer, recorded: Recorded) -> None:
        tx.execute(ledger.ADD, [recorded.stream, 1, 1])
        act(tx)

    return made


@pytest.mark.parametrize("act", [psycopg.Connection.commit, psycopg.Connection.rollback])
def test_code_cannot_end_the_transaction(books: Books, act: Callable[[Tx], None]) -> None:
    of = declared("ended", act)
    books.build(of)
    books.append("account-a", 1, 2)
    sink = books.sink(of)
    batch = books.batch(books.changes(("account-a", 0), ("account-a", 1)))
    for _ in range(2):
        with pytest.raises(Busy, match=r"account-a 0 and account-a 1 \(ProgrammingError\)"):
            sink.apply(batch)
    assert books.rows("ended") == []
    with pytest.raises(Busy, match=r"account-a 0 and account-a 1 \(ProgrammingError\)"):
        books.build(declared("built", act), "built")


def test_an_error_that_code_swallows_holds_everything(books: Books) -> None:
    def swallow(tx: Tx) -> None:
        with suppress(psycopg.Error):
            tx.execute("SELECT 1 / 0").fetchone()

    of = declared("swallowed", swallow)
    books.build(of)
    books.append("account-a", 1)
    sink = books.sink(of)
    with pytest.raises(Busy, match="projection swallowed fails"):
        sink.apply(books.batch(books.changes(("account-a", 0))))
    assert books.rows("swallowed") == []


def swallowing(tx: Writer) -> None:
    for statement in ("SELECT 1 / 0", "DELETE FROM balances"):
        with suppress(psycopg.Error):
            tx.execute(statement)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda tx: tx.execute("SELECT 1"), "returns rows, which nobody reads: read in a @batch_"),
        (lambda tx: tx.execute("COPY balances FROM STDIN"), "returns rows, which nobody reads"),
        (lambda tx: tx.execute("DELETE FROM nowhere"), 'relation "nowhere" does not exist'),
        (lambda tx: tx.execute("DELETE FROM balances WHERE account = %s"), "1 %s is given 0"),
        (lambda tx: tx.execute("SELECT %(a)s"), "writes with %s, and with %% for a percent"),
        (lambda tx: tx.execute("SELECT %s", [object()]), "ProgrammingError"),
        (swallowing, "division by zero"),
    ],
)
def test_a_statement_that_cannot_be_sent_ahead_holds_everything(
    books: Books, act: Callable[[Writer], Any], why: str
) -> None:
    of = one_by_one(act)
    books.build(of)
    books.append("account-a", 1, 2)
    sink = books.sink(of)
    batch = books.batch(books.changes(("account-a", 0), ("account-a", 1)))
    for _ in range(2):
        with pytest.raises(Busy, match=r"account-a 0 and account-a 1 \(.*" + re.escape(why)):
            sink.apply(batch)
        sink.positions([P0])
    assert books.rows("single") == []


def test_the_first_of_many_refusals_is_told(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes while later statements are sent, which count for nothing."""
    monkeypatch.setattr(writer, "AHEAD", 8)
    wrong = one_by_one(lambda tx: tx.execute("UPDATE balances SET amount = 1 / (events - 20)"))
    books.append("account-a", *range(100))
    with pytest.raises(Busy, match=r"account-a 0 and account-a 99 \(division by zero"):
        books.build(wrong)
    assert books.rows("single_v1") == []


def test_a_session_that_ends_meanwhile_is_no_mistake_of_the_code(books: Books) -> None:
    def end(tx: Writer) -> None:
        with psycopg.connect(books.dsn) as other:
            other.execute(END_OTHERS)

    of = one_by_one(end)
    books.build(of)
    books.append("account-a", 1)
    sink = books.sink(of)
    with pytest.raises(Busy, match="the target database cannot take it now"):
        sink.apply(books.batch(books.changes(("account-a", 0))))


def test_values_of_one_statement_may_have_several_types(books: Books) -> None:
    values = [("%s ä", 2, None), ("\\'", 2**40, 1), ("", -1, 2**30)]

    def insert(tx: Writer) -> None:
        for each in values:
            tx.execute("INSERT INTO balances VALUES (%s || ' 100%%', %s, %s)", each)

    of = one_by_one(insert)
    books.append("account-a", 1)
    books.build(of)
    added = [(f"{account} 100%", amount, events) for account, amount, events in values]
    assert sorted(books.rows("single")) == sorted([*added, ("account-a", 1, 1)])


def test_a_constraint_that_is_checked_at_the_commit_holds_everything(books: Books) -> None:
    deferred = ledger.TABLES[:-1] + ", UNIQUE (amount) DEFERRABLE INITIALLY DEFERRED)"
    of = declared("deferred", lambda tx: None, tables=deferred)
    books.build(of)
    books.append("account-a", 1)
    books.append("account-b", 1)
    sink = books.sink(of)
    with pytest.raises(Busy, match=r"refuses what projection deferred wrote .*duplicate key"):
        sink.apply(books.batch(books.changes(("account-a", 0), ("account-b", 0))))
    assert books.rows("deferred") == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({"pos": -1}, {"pos": 10**30}, {"pos": "0"}, {"stream": "a\0b"}, {"stream": ""}),
        *({"version": 10**12}, {"id": "x"}, {"at": "2026-01-01T00:00:00"}, {"data": {}}),
    ],
)
def test_garbage_is_refused_and_holds_nothing(books: Books, wrong: dict[str, Any]) -> None:
    books.build(ledger.one_v1)
    books.append("account-a", 1)
    sink = books.sink(ledger.one_v1)
    (real,) = books.changes(("account-a", 0))
    garbage = books.change(json.loads(bytes(real.after)) | wrong)
    with pytest.raises(Rejected, match=r"not a row of eventstore.events"):
        sink.apply(books.batch([real, garbage]))


def test_a_schema_of_others_is_left_alone(books: Books) -> None:
    with psycopg.connect(books.dsn) as connection:
        connection.execute("CREATE SCHEMA reporting CREATE VIEW theirs AS SELECT 1")
    for name in ("reporting", "public", "eventstore"):
        with pytest.raises(rebuild.Filled, match=f"schema {name}, in which readers would see it"):
            books.build(declared(name, lambda tx: None), name)
    books.build(ledger.one_v1, "old")
    with psycopg.connect(books.dsn) as connection:
        connection.execute("CREATE VIEW balances.theirs AS SELECT 1")
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as connection:
        versions.switch(connection, "new")
        connection.execute("SELECT * FROM reporting.theirs, balances.theirs")


def test_readers_keep_their_rights(books: Books) -> None:
    books.build(ledger.one_v1, "old")
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as connection:
        connection.execute("GRANT SELECT ON balances.balances TO PUBLIC, pg_monitor")
        versions.switch(connection, "new")
        for role in ("pg_monitor", "pg_signal_backend"):
            asked = "SELECT has_table_privilege(%s, 'balances.balances', 'SELECT')"
            assert connection.execute(asked, [role]).fetchone() == (True,)


def test_versions_are_compared_whatever_their_types(books: Books) -> None:
    tables = ledger.TABLES[:-1] + ", said json DEFAULT '{}', place point, box box)"
    for version in (1, 2):
        books.build(declared("typed", lambda tx: None, version, tables), f"v{version}")
    with psycopg.connect(books.dsn) as connection:
        connection.execute("INSERT INTO typed_v2.balances VALUES ('a', 1, 1, '{}', '(1,2)')")
        old, new = versions.find(connection, "v1"), versions.find(connection, "v2")
        assert old is not None
        assert new is not None
        assert [*map(astuple, versions.differences(connection, old, new))] == [("balances", 0, 1)]


def test_a_build_has_more_than_its_marks_say(books: Books) -> None:
    """Both stand at offset 0, but the second has read an event that the first has not."""
    books.build(ledger.one_v1, "old")
    books.sink(ledger.one_v1, "old")
    books.append("account-a", 1)
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as connection:
        assert not versions.are_level(connection, "old", "new")
    books.sink(ledger.one_v1, "old").apply(books.batch(books.changes(("account-a", 0))))
    with psycopg.connect(books.dsn) as connection:
        assert versions.are_level(connection, "old", "new")


def test_marks_that_somebody_left_are_replaced(books: Books) -> None:
    books.build(ledger.one_v1)
    with psycopg.connect(books.dsn) as connection:
        connection.execute("DELETE FROM eventstore.builds")
        connection.execute("DROP SCHEMA balances CASCADE")
        connection.execute("DROP SCHEMA balances_v1 CASCADE")
    books.build(ledger.one_v1)


def test_what_is_dropped_while_it_is_built_is_not_built(books: Books) -> None:
    books.append("account-a", 1)

    def drop(done: int, of: int) -> None:
        if done == of:
            with psycopg.connect(books.dsn) as connection:
                versions.drop(connection, "one")

    with pytest.raises(rebuild.Filled, match="balances_v1 was dropped while it was built"):
        rebuild.build(books.dsn, books.dsn, "one", ledger.one_v1, lambda: {P0: 0}, drop)
    books.build(ledger.one_v1, "one")


def test_sql_that_fails_in_a_build_is_told_as_such(books: Books) -> None:
    books.append("account-a", 1)
    of = sql_projection(
        "wrong",
        version=1,
        contracts=ledger.contracts,
        events=[ledger.Booked],
        tables=ledger.TABLES,
        statement="SELECT 1 / 0 FROM batch",
    )
    with pytest.raises(Busy, match=r"projection wrong fails between seq 1 and 1 .division by zero"):
        books.build(of)


def test_a_reader_that_does_not_end_is_not_waited_for(books: Books) -> None:
    books.build(ledger.one_v1, "old")
    books.build(ledger.one_v2, "new")
    with psycopg.connect(books.dsn) as reader, psycopg.connect(books.dsn) as connection:
        reader.execute("SELECT * FROM balances.balances")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            versions.switch(connection, "new")


def test_windows_and_data_that_copy_would_escape(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "WINDOW", 3)
    monkeypatch.setattr(rebuild, "SQL_WINDOW", 3)
    streams = ["account-ä'\"\\x", "account-\t\\N", "account-\n\\."]
    for stream in streams * 4:
        books.append(stream, 1, 2)
    for name, form in (("balances", ledger.one_v1), ("totals", ledger.in_sql)):
        assert books.build(form, name) == 24
        assert books.rows(name) == [(stream, 12, 8) for stream in sorted(streams)]
    sink = books.sink(ledger.in_sql, "totals")
    for stream in streams:
        books.append(stream, 4)
    sink.apply(books.batch(books.changes(*((stream, 8) for stream in streams))))
    assert books.rows("totals") == [(stream, 16, 9) for stream in sorted(streams)]
