"""What Debezium published of the log, held against the table: what is told of which difference."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from sagas import log
from sagas.published import Compared, Published
from tailrace.harness.databases import Databases

ENTRY = log.Entry("5aeb", "done", "hotel", "hotel", 'it is "ä"', '{"b": 1,  "a": 2}')


@pytest.fixture
def tx(new_database: Databases) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(new_database()) as connection:
        connection.execute(log.STATEMENTS["schema"])
        log.append(connection, [ENTRY] * 5)
        yield connection


def record(row: log.Row, op: str = "c") -> bytes:
    """As Debezium writes it with the settings of `source.json`."""
    said = msgspec.structs.asdict(row) | {
        "at": row.at.isoformat().replace("+00:00", "Z"),
        "hash": row.hash.hex(),
    }
    none = dict.fromkeys(said) | {"seq": row.seq}
    return json.dumps(
        {
            "before": none if op == "d" else None,
            "after": None if op == "d" else said,
            "op": op,
            "source": {"lsn": 1},
        }
    ).encode()


def published(tx: psycopg.Connection[Any]) -> list[bytes]:
    return [record(row) for row in log.rows(tx)]


def told(tx: psycopg.Connection[Any], *records: bytes | None) -> Compared:
    began = Published(tx)
    began.take(records)
    return began.compared()


def sentences(found: Compared) -> list[str]:
    return [each.sentence for each in found.breaks]


def test_all_of_it_in_any_order_and_again(tx: psycopg.Connection[Any]) -> None:
    there = published(tx)
    assert told(tx, *reversed(there), *there) == Compared(1, 0, [])


def test_where_it_begins_and_how_far_it_came(tx: psycopg.Connection[Any]) -> None:
    there = published(tx)
    assert told(tx) == Compared(None, 5, [])
    assert told(tx, *there[2:4]) == Compared(3, 1, [])
    assert sentences(told(tx, there[0], there[3])) == [
        "row 2 was never published, but rows after it were",
        "row 3 was never published, but rows after it were",
    ]


def test_whether_there_is_more_to_wait_for(tx: psycopg.Connection[Any]) -> None:
    there = published(tx)
    began = Published(tx)
    for each in (there[1], there[4], there[2]):
        began.take([each])
        assert not began.is_whole
    began.take([there[3]])
    assert began.is_whole


def test_a_row_that_nobody_can_see_yet_is_looked_for_again(tx: psycopg.Connection[Any]) -> None:
    began = Published(tx)
    began.take(published(tx))
    log.append(tx, [ENTRY, ENTRY])
    young = published(tx)[5:]
    tx.execute("SAVEPOINT later")
    tx.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
    tx.execute("DELETE FROM sagas.log WHERE seq > 5")
    began.take(young)
    tx.execute("ROLLBACK TO later")
    tx.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
    tx.execute("DELETE FROM sagas.log WHERE seq > 6")
    assert sentences(began.compared()) == ["row 7 was published, and is not in the database"]


@pytest.mark.parametrize("op", ["u", "d"])
def test_what_was_rewritten_has_travelled(tx: psycopg.Connection[Any], op: str) -> None:
    again = record(list(log.rows(tx))[1], op)
    assert sentences(told(tx, *published(tx), again)) == [
        f"row 2 was rewritten: the topic has its '{op}'"
    ]


def test_what_is_no_row(tx: psycopg.Connection[Any]) -> None:
    truncated = b'{"before": null, "after": null, "op": "t"}'
    odd = record(list(log.rows(tx))[1]).replace(b'"hash": "', b'"hash": "x')
    found = sentences(told(tx, *published(tx), truncated, None, b"\xff", odd))
    assert found[0] == "rows were rewritten: the topic has its 't'"
    assert len(found) == 4
    assert all(each.startswith("a record of the topic is no row of the log") for each in found[1:])
