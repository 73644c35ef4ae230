from collections.abc import Callable
from decimal import Decimal

import psycopg

from eventstore import outbox
from eventstore.contracts import Contracts, Event
from tailrace.harness.cdc import Cdc
from tailrace.harness.topics import records

hotel = Contracts("hotel")


@hotel.event("hotel.room.held", 2)
class RoomHeld(Event):
    room: str
    price: Decimal
    n: int


def test_thin(cdc: Callable[..., Cdc]) -> None:
    pipe = cdc(
        "CREATE TABLE t (id int primary key, v text);" + outbox.STATEMENTS["schema"],
        ["public.t", "eventstore.outbox"],
    )
    with psycopg.connect(pipe.source_dsn) as tx:
        outbox.publish(tx, hotel, "room", "r-1", [RoomHeld(room="a", price=Decimal("1.10"), n=1)])
        tx.execute("insert into t values (1, 'x')")
    pipe.register()
    with psycopg.connect(pipe.source_dsn) as tx:
        ids = outbox.publish(
            tx,
            hotel,
            "room",
            "r-1",
            [
                RoomHeld(room='ä\0"', price=Decimal("123456789012345678901234567890.10"), n=10**30),
                RoomHeld(room="b", price=Decimal("1.10"), n=1),
            ],
            meta={"correlation": "c1", "traceparent": "00-x"},
        )
        tx.execute("insert into t values (2, 'y')")
    pipe.wait_captured()
    for topic in (f"{pipe.name}.events", pipe.topic("public.t")):
        for r in records(pipe.brokers, topic):
            print(topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)
    assert 0
