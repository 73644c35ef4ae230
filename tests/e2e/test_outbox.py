"""Events leave with the transaction that published them, as CloudEvents, byte for byte."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from consumer.records import record_of
from eventstore import outbox
from eventstore.contracts import Contracts, Event, Invalid
from eventstore.envelope import envelope
from eventstore.outbox import NotConfirmed, id_from, prune, publish
from tailrace.harness.cdc import Cdc
from tailrace.harness.topics import records
from tests.e2e.test_json import printed

hotel = Contracts("hotel")


@hotel.event("hotel.room.held", 2)
class RoomHeld(Event):
    room: str
    price: Decimal
    points: int


DDL = "CREATE TABLE public.booking (id int PRIMARY KEY, room text);"
ODD = RoomHeld(room='ä\0"\\ 𝄞', price=Decimal("12345678901234567890123456789.10"), points=10**40)
LEFT = "SELECT count(*) FROM eventstore.outbox"


LARGE = RoomHeld(room="x" * 2_000_000, price=Decimal("1E+5"), points=-(10**18))


def held(room: str, points: int = 1) -> RoomHeld:
    return RoomHeld(room=room, price=Decimal("1.10"), points=points)


def raw(pipe: Cdc) -> list[Any]:
    pipe.wait_captured()
    return records(pipe.brokers, f"{pipe.name}.events")


@pytest.fixture
def pipe(cdc: Callable[..., Cdc]) -> Cdc:
    """Its first events were there before the connector: they come with the snapshot."""
    made = cdc(DDL, ["public.booking", "eventstore.outbox"], partitions=3)
    done = made.command("events", "outbox-prune")
    assert "TR-EVT-051" in done.stderr
    done = made.command("events", "create")
    assert done.returncode == 0, done.stderr
    for number in range(20):
        with psycopg.connect(made.source_dsn) as tx:
            publish(tx, hotel, "room", f"r-{number % 3}", [held("before", number)])
    return made


def test_from_publish_to_kafka(pipe: Cdc) -> None:
    nothing_is_emptied_before_it_was_sent(pipe)
    pipe.register()
    pipe.start()
    a_snapshot_keeps_the_order(pipe)
    before = len(raw(pipe))
    what_is_sent_arrives_unchanged(pipe)
    what_did_not_commit_is_not_sent(pipe)
    the_outbox_takes_inserts_only(pipe)
    count = len(raw(pipe))
    assert count == before + 4
    pipe.restart_connector()
    days_that_have_passed_are_emptied(pipe, count)
    pipe.wait_converged()


def nothing_is_emptied_before_it_was_sent(pipe: Cdc) -> None:
    with psycopg.connect(pipe.source_dsn, autocommit=True) as source:
        move_to_past_days(source)
        with pytest.raises(NotConfirmed, match="no replication slot"):
            prune(source, pipe.spec.slot, within_s=0)

        def make_slot() -> float:
            source.execute("SELECT pg_create_logical_replication_slot('late', 'pgoutput')")
            return 0.0

        with pytest.raises(NotConfirmed, match="no replication slot"):
            prune(source, "late", clock=make_slot)


def move_to_past_days(source: psycopg.Connection[Any]) -> int:
    """As if they had been published some days ago: all but the last of the days that passed."""
    with source.transaction():
        source.execute("SET LOCAL session_replication_role = replica")
        return source.execute(
            "UPDATE eventstore.outbox SET day = (day + 1 + seq % 4) % 7 + 1 WHERE day ="
            " extract(isodow FROM clock_timestamp() AT TIME ZONE 'UTC')"
        ).rowcount


def a_snapshot_keeps_the_order(pipe: Cdc) -> None:
    found: dict[bytes, list[int]] = {}
    for each in raw(pipe):
        found.setdefault(each.key, []).append(json.loads(each.value)["points"])
    assert set(found) == {b"r-0", b"r-1", b"r-2"}
    assert all(points == sorted(points) for points in found.values()), found
    assert sum(map(len, found.values())) == 20


def what_is_sent_arrives_unchanged(pipe: Cdc) -> None:
    cause = UUID(int=7)
    meta: Mapping[str, str | None] = {
        "correlation": "c-1",
        "causation": None,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "actor": "ada",
    }
    began = datetime.now(UTC)
    for again in range(2):
        with psycopg.connect(pipe.source_dsn) as tx:
            tx.execute("INSERT INTO booking VALUES (%s, 'r-9')", [again])
            ids = [id_from(cause, "held", n) for n in range(3)]
            given = publish(tx, hotel, "room", "r-9", [ODD, LARGE, held("c")], meta=meta, ids=ids)
            assert given == ids
    with psycopg.connect(pipe.source_dsn) as tx:
        (other,) = publish(tx, hotel, "room", "r-8", [held("d")])
    mine = [each for each in raw(pipe) if each.key == b"r-9"]
    for each, id_, event in zip(mine, ids, [ODD, LARGE, held("c")], strict=True):
        theirs = from_kafka(KafkaMessage(dict(each.headers), each.key, each.value), JSONFormat())
        ours = envelope(record_of(each))
        assert each.value == hotel.encode(event).encode()
        assert ours.data == each.value
        assert theirs.get_data() == json.loads(each.value)
        assert ours.id == theirs.get_id() == str(id_)
        assert ours.source == theirs.get_source() == "hotel"
        assert ours.type == theirs.get_type() == "hotel.room.held"
        assert ours.subject == theirs.get_subject() == "r-9"
        assert ours.time == theirs.get_time()
        assert ours.time is not None
        assert 0 <= (ours.time - began).total_seconds() < 60
        assert theirs.get_dataschema() == "urn:tailrace:hotel.room.held:2"
        assert theirs.get_datacontenttype() == "application/json"
        assert theirs.get_specversion() == "1.0"
        assert theirs.get_extension("partitionkey") == "r-9"
        assert theirs.get_extension("aggregatetype") == "room"
        assert theirs.get_extension("correlationid") == "c-1" == ours.meta["correlation"]
        assert ours.meta == {name: meta[name] for name in ("correlation", "traceparent")}
        assert hotel.decode(ours.type, ours.version, ours.data) == event
    (plain,) = [each for each in raw(pipe) if each.key == b"r-8"]
    assert "ce_correlationid" not in dict(plain.headers)
    assert envelope(record_of(plain)).id == str(other)


def what_did_not_commit_is_not_sent(pipe: Cdc) -> None:
    with psycopg.connect(pipe.source_dsn) as tx:
        publish(tx, hotel, "room", "r-7", [held("never")])
        tx.rollback()
    invalid = RoomHeld.model_construct(room="x", price="much", points=1)
    with psycopg.connect(pipe.source_dsn) as tx:
        with pytest.raises(Invalid, match="price"):
            publish(tx, hotel, "room", "r-7", [held("never"), invalid])
        with pytest.raises(ValueError, match="different ids"):
            publish(tx, hotel, "room", "r-7", [held("a"), held("b")], ids=[UUID(int=1)] * 2)
        with pytest.raises(ValueError, match="it has correlate"):
            publish(tx, hotel, "room", "r-7", [held("a")], meta={"correlate": "x"})
        with pytest.raises(ValueError, match="aggregate"):
            publish(tx, hotel, "room", "", [held("a")])
        assert publish(tx, hotel, "room", "r-7", []) == []
    with (
        psycopg.connect(pipe.source_dsn, autocommit=True) as connection,
        pytest.raises(ValueError, match="needs the transaction"),
    ):
        publish(connection, hotel, "room", "r-7", [held("never")])


def the_outbox_takes_inserts_only(pipe: Cdc) -> None:
    for statement in ("UPDATE {} SET type = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(psycopg.errors.RaiseException, match="inserts only"):
            pipe.sql(statement.format("eventstore.outbox"))


def days_that_have_passed_are_emptied(pipe: Cdc, count: int) -> None:
    with psycopg.connect(pipe.source_dsn, autocommit=True) as source:
        today = source.execute(
            "SELECT count(*) FROM eventstore.outbox WHERE day ="
            " extract(isodow FROM clock_timestamp() AT TIME ZONE 'UTC')"
        ).fetchone()
        with psycopg.connect(pipe.source_dsn) as writer:
            day = source.execute(outbox.STATEMENTS["today"]).fetchone()
            assert day is not None
            past = (day[0] + 2) % 7 + 1
            writer.execute(f"LOCK TABLE eventstore.outbox_{past:d} IN ROW EXCLUSIVE MODE".encode())
            done = pipe.command("events", "outbox-prune")
            assert done.returncode == 75
            assert "still open" in done.stderr
        with pipe.at() as at:
            at.connect.pause(pipe.name)
            pipe.eventually(lambda: at.connect.status(pipe.name)["connector"]["state"] == "PAUSED")
        with pytest.raises(NotConfirmed, match="has not confirmed"):
            prune(source, pipe.spec.slot, within_s=0)
        with pipe.at() as at:
            at.connect.resume(pipe.name)
        done = pipe.command("events", "outbox-prune", "--json")
        assert printed("events outbox-prune", done.stdout)["emptied_days"] >= 3, done.stderr
        assert source.execute(LEFT).fetchone() == today
    with psycopg.connect(pipe.source_dsn) as tx:
        publish(tx, hotel, "room", "r-6", [held("after")])
    found = raw(pipe)
    assert [each.key for each in found if each.key == b"r-6"] == [b"r-6"]
    assert len({dict(each.headers)["ce_id"] for each in found}) == count + 1
