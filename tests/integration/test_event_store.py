"""The event store on a real server: what is appended stays, whole and in order."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from eventstore.contracts import Event, Invalid
from eventstore.recorded import Connection, Meta, new_id
from eventstore.store import (
    ANY,
    NEW,
    Conflict,
    append,
    create_schema,
    length,
    load,
    read,
    streams,
)
from examples.bank.events import Closed, Deposited, Opened, contracts
from tailrace.harness.databases import Databases
from tailrace.harness.waits import eventually

OPENED = Opened(customer="c1", owner="Ada")


def deposits(*amounts: int) -> list[Event]:
    return [Deposited(amount_cents=amount) for amount in amounts]


@pytest.fixture
def dsn(new_database: Databases) -> str:
    made = new_database()
    with psycopg.connect(made) as connection:
        create_schema(connection)
        create_schema(connection)  # a second time changes nothing
    return made


@pytest.fixture
def tx(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn) as connection:
        yield connection


def positions(tx: Connection, stream: str) -> list[int]:
    return [one.pos for one in load(tx, contracts, stream)]


def test_what_is_appended_is_loaded(tx: Connection) -> None:
    meta = Meta(correlation="r1", causation="m1", actor="ada")
    returned = append(tx, contracts, "account-1", [OPENED], expected=NEW, meta=meta)
    returned += append(tx, contracts, "account-1", deposits(5, 7), expected=1)
    found = load(tx, contracts, "account-1")
    assert tuple(found) == returned
    assert [one.event for one in found] == [OPENED, *deposits(5, 7)]
    assert [(one.pos, one.type, one.version) for one in found] == [
        (0, "account.opened", 1),
        (1, "money.deposited", 2),
        (2, "money.deposited", 2),
    ]
    assert [one.meta for one in found] == [meta, Meta(), Meta()]
    assert {one.at.tzinfo for one in found} == {UTC}
    assert sorted(one.id for one in found) == [one.id for one in found]  # of their time
    assert {one.id.version for one in found} == {7}


def test_it_is_the_callers_transaction(tx: Connection, dsn: str) -> None:
    append(tx, contracts, "account-1", [OPENED], expected=NEW)
    with psycopg.connect(dsn) as other:
        assert load(other, contracts, "account-1") == []
    tx.rollback()
    assert load(tx, contracts, "account-1") == []


@pytest.mark.parametrize("expected", [NEW, 1, 3, 4])
def test_a_conflict_names_both_versions_and_leaves_the_transaction(
    tx: Connection, expected: int
) -> None:
    append(tx, contracts, "account-1", [OPENED, *deposits(5)], expected=NEW)
    with pytest.raises(Conflict, match=rf"account-1 .* version {expected}, .* version 2:") as told:
        append(tx, contracts, "account-1", deposits(6, 7), expected=expected)
    assert (told.value.stream, told.value.expected, told.value.actual) == ("account-1", expected, 2)
    append(tx, contracts, "account-1", deposits(8), expected=2)
    assert positions(tx, "account-1") == [0, 1, 2]


@pytest.mark.parametrize("expected", [NEW, ANY])
def test_of_two_at_once_the_later_one_waits_and_leaves_nothing_half(
    tx: Connection, dsn: str, expected: int | None
) -> None:
    """The rival's are fewer: the last of ours would find its place free."""
    append(tx, contracts, "account-1", [OPENED], expected=NEW)
    with psycopg.connect(dsn) as rival, ThreadPoolExecutor(1) as pool:
        late = pool.submit(
            append, rival, contracts, "account-1", deposits(1, 2, 3), expected=expected
        )
        with psycopg.connect(dsn, autocommit=True) as watch:
            blocked = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
            eventually(lambda: watch.execute(blocked).fetchone() == (True,), 30, "blocked")
        tx.commit()
        if expected is ANY:
            assert [one.pos for one in late.result()] == [1, 2, 3]
        else:
            with pytest.raises(Conflict, match=r"version 0, .* version 1:"):
                late.result()
        assert positions(rival, "account-1") == ([0, 1, 2, 3] if expected is ANY else [0])


def test_above_read_committed_postgres_says_it_its_way(tx: Connection, dsn: str) -> None:
    tx.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert length(tx, "account-1") == 0
    with psycopg.connect(dsn) as rival:
        append(rival, contracts, "account-1", [OPENED], expected=NEW)
    with pytest.raises(psycopg.errors.SerializationFailure):
        append(tx, contracts, "account-1", [OPENED], expected=NEW)
    tx.rollback()
    assert positions(tx, "account-1") == [0]


@pytest.mark.parametrize("careful", [True, False])
def test_no_event_of_many_writers_is_lost(dsn: str, careful: bool) -> None:
    """`careful` ones say which version they saw, and try again on a conflict."""
    names, told = ("account-1", "account-2", "account-3"), []

    def write(writer: int) -> list[UUID]:
        mine: list[UUID] = []
        with psycopg.connect(dsn, autocommit=True) as connection:
            for turn in range(40):
                stream, events = names[(writer + turn) % 3], deposits(*range(1, 2 + turn % 3))
                while True:
                    seen = length(connection, stream) if careful else ANY
                    try:
                        done = append(connection, contracts, stream, events, expected=seen)
                    except Conflict as conflict:
                        told.append((str(conflict), seen, conflict.actual))
                    else:
                        mine += [one.id for one in done]
                        break
        return mine

    with ThreadPoolExecutor(8) as pool:
        acknowledged = [id_ for mine in pool.map(write, range(8)) for id_ in mine]
    with psycopg.connect(dsn) as connection:
        stored = [load(connection, contracts, stream) for stream in names]
    assert sorted(one.id for each in stored for one in each) == sorted(acknowledged)
    for each in stored:
        assert [one.pos for one in each] == list(range(len(each)))
    assert bool(told) == careful
    for sentence, seen, actual in told:
        assert actual is not None
        assert f"version {seen}, but it is at version {actual}:" in sentence


def test_the_same_append_again_is_done_already(tx: Connection) -> None:
    ids = [new_id(), new_id()]
    events = [OPENED, *deposits(5)]
    first = append(tx, contracts, "account-1", events, expected=NEW, ids=ids)
    append(tx, contracts, "account-1", deposits(6), expected=2)
    for expected in (NEW, ANY):
        again = append(tx, contracts, "account-1", events, expected=expected, ids=ids)
        assert again == first
    assert positions(tx, "account-1") == [0, 1, 2]


@pytest.mark.parametrize(
    ("stream", "events", "expected", "order"),
    [
        ("account-2", [OPENED, *deposits(5)], NEW, (0, 1)),  # elsewhere
        ("account-1", [OPENED, *deposits(5)], 2, (0, 1)),  # later
        ("account-1", [OPENED, *deposits(6)], NEW, (0, 1)),  # something else
        ("account-1", [*deposits(5), OPENED], NEW, (1, 0)),  # another order
        ("account-1", [OPENED, *deposits(5, 6)], ANY, (0, 1, 2)),  # more of them
    ],
)
def test_an_id_names_one_event_for_ever(
    tx: Connection, stream: str, events: list[Event], expected: int | None, order: tuple[int, ...]
) -> None:
    ids = [new_id(), new_id(), new_id()]
    append(tx, contracts, "account-1", [OPENED, *deposits(5)], expected=NEW, ids=ids[:2])
    with pytest.raises(Conflict, match="is that of another event, at account-1 pos 0"):
        append(tx, contracts, stream, events, expected=expected, ids=[ids[i] for i in order])
    assert list(streams(tx, "account")) == ["account-1"]
    assert positions(tx, "account-1") == [0, 1]


def test_nothing_invalid_gets_in(tx: Connection) -> None:
    unchecked = Deposited.model_construct(amount_cents=-1)
    with pytest.raises(Invalid, match=r"money\.deposited is not valid: amount_cents"):
        append(tx, contracts, "account-1", [OPENED, unchecked], expected=NEW)
    with pytest.raises(Invalid, match="is no event of the contracts"):
        append(tx, contracts, "account-1", [Event()], expected=NEW)
    with pytest.raises(Invalid, match="character 0"):
        append(tx, contracts, "account-1", [Closed(reason="\0")], expected=NEW)
    append(tx, contracts, "account-9", [Closed(reason="no \\u0000")], expected=NEW)
    for name in ("account", "Account-1", "account-", "account-\0"):
        with pytest.raises(Invalid, match="named like account-42"):
            append(tx, contracts, name, [OPENED], expected=NEW)
    with pytest.raises(Invalid, match="need as many different ids"):
        append(tx, contracts, "account-1", [OPENED], expected=NEW, ids=[])
    assert positions(tx, "account-1") == []


def store(tx: Connection, stream: str, pos: int, kind: str, version: int, data: str) -> None:
    """As older code did, or somebody with psql."""
    tx.execute(
        "INSERT INTO eventstore.events (stream, pos, id, type, version, data, meta)"
        " VALUES (%s, %s, gen_random_uuid(), %s, %s, %s, '{}')",
        [stream, pos, kind, version, data],
    )


def test_old_versions_are_read_as_new_ones(tx: Connection) -> None:
    store(tx, "account-1", 0, "money.deposited", 1, '{"amount": 12.34}')
    (found,) = load(tx, contracts, "account-1")
    assert (found.version, found.event) == (1, Deposited(amount_cents=1234))
    store(tx, "account-1", 1, "money.deposited", 9, "{}")
    with pytest.raises(Invalid, match=r"account-1 pos 1: .* version 9"):
        load(tx, contracts, "account-1")


def test_a_past_state(tx: Connection) -> None:
    recorded = [
        append(tx, contracts, "account-1", [event], expected=pos)[0]
        for pos, event in enumerate([OPENED, *deposits(5, 6), Closed(reason="moved")])
    ]
    for version in range(6):
        assert load(tx, contracts, "account-1", at=version) == recorded[:version]
    for pos, one in enumerate(recorded):
        assert load(tx, contracts, "account-1", at=one.at) == recorded[: pos + 1]
    before = recorded[0].at - timedelta(microseconds=1)
    assert load(tx, contracts, "account-1", at=before) == []
    assert length(tx, "account-1", datetime(2999, 1, 1, tzinfo=UTC)) == 4
    with pytest.raises(ValueError, match="zone"):
        load(tx, contracts, "account-1", at=datetime(2999, 1, 1))


def test_a_long_stream_is_read_by_pages(tx: Connection) -> None:
    events = deposits(*range(1, 20_001))
    append(tx, contracts, "account-1", events, expected=NEW)
    tracemalloc.start()
    found = read(tx, contracts, "account-1", start=10, stop=19_990, page_events=500)
    assert sum(1 for _ in found) == 19_980
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_500_000


def test_the_streams_of_a_category(tx: Connection) -> None:
    names = ["account-" + str(n) for n in range(7)] + ["account2-1", "accounts-1", "acc-1"]
    for name in names:
        append(tx, contracts, name, [OPENED, *deposits(1)], expected=NEW)
    assert list(streams(tx, "account", page_streams=3)) == names[:7]
    assert list(streams(tx, "acc")) == ["acc-1"]
    assert list(streams(tx, "none")) == []


@pytest.mark.parametrize("replicates", [False, True])
@pytest.mark.parametrize("act", ["UPDATE {} SET pos = pos", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", ["events", "seals"])
def test_what_happened_stays(tx: Connection, table: str, act: str, replicates: bool) -> None:
    if replicates:
        tx.execute("SET session_replication_role = replica")
    refused = rf"eventstore\.{table} is append-only: {act.split()[0]} is refused"
    with pytest.raises(psycopg.errors.RaiseException, match=refused):
        tx.execute(act.format(f"eventstore.{table}").encode())
