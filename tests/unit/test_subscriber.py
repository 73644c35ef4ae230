"""Subscribers before any server: who is asked, what is decoded, and what the file may say."""

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.event import FIRST, Record, TopicPartition
from eventstore.contracts import Contracts, Event
from eventstore.subscriber import Arrived, EventDecoder, Received, Subscriber
from tailrace.config import PostgresSink, SubscriberSink, load
from tailrace.exits import Problem
from tailrace.wiring import topics_of

hotel, shop = Contracts("hotel"), Contracts("shop")
AT = TopicPartition("hotel.events", 0)


@hotel.event("hotel.room.held", 2)
class RoomHeld(Event):
    room: str
    nights: int


@hotel.upcast("hotel.room.held", to=2)
def _nights(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "nights": 1}


@hotel.event("hotel.room.left")
class RoomLeft(Event):
    room: str


@shop.event("shop.order.paid")
class Paid(Event):
    order: int


def billing(*contracts: Contracts) -> Subscriber:
    made = Subscriber("billing", *contracts)

    @made.on(RoomHeld)
    def bill(tx: Any, received: Received[RoomHeld]) -> None:
        raise AssertionError("decoding handles nothing")

    return made


def record(offset: int, value: bytes, type_: bytes = b"hotel.room.held", v: int = 2) -> Record:
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%d" % offset),
        ("ce_source", b"hotel"),
        ("ce_type", type_),
        ("ce_dataschema", b"urn:tailrace:x:%d" % v),
        ("ce_time", b"2026-01-02T03:04:05.000006Z"),
    ]
    return Record(AT, offset, b"r-1", value, headers, 0)


def test_decoding_tells_events_letters_and_the_rest_apart() -> None:
    decoder = EventDecoder(billing(hotel))
    decoder.start({AT: FIRST._replace(next_offset=3, log="id")})
    polled = {
        AT: [
            record(3, b'{"room": "a", "nights": 2, "added by newer code": 1}'),
            record(4, b'{"room": "b"}', v=1),
            record(5, b"[]", b"hotel.room.left"),
            record(6, b'{"room": 7, "nights": 1}'),
            Record(AT, 7, None, b"{}", [], 0),
        ]
    }
    events, unreadable = decoder.decode(polled)
    held = [cast(Arrived, each).received.event for each in events]
    assert held == [RoomHeld(room="a", nights=2), RoomHeld(room="b", nights=1)]
    assert [each.record.offset for each in unreadable] == [6, 7]
    assert [each.table for each in unreadable] == ["hotel.room.held", None]
    assert "7" not in unreadable[0].reason
    (mark,) = decoder.marks(polled).values()
    assert (mark.next_offset, mark.log) == (8, "id")
    assert mark.committed_at_us == events[0].committed_at_us == 1767323045000006


@given(st.binary(max_size=60), st.integers(0, 3))
def test_whatever_the_data_is_it_ends_as_event_or_letter(value: bytes, version: int) -> None:
    decoder = EventDecoder(billing(hotel))
    decoder.start({AT: FIRST})
    events, unreadable = decoder.decode({AT: [record(0, value, v=version)]})
    assert len(events) + len(unreadable) == 1


def test_a_subscriber_handles_events_of_its_contracts_once() -> None:
    made = billing(hotel, shop)
    made.on(Paid)(lambda tx, received: None)
    assert sorted(made.handlers) == ["hotel.room.held", "shop.order.paid"]
    assert hotel.readers["billing"] == {"hotel.room.held"}
    with pytest.raises(ValueError, match="already"):
        made.on(RoomHeld)(lambda tx, received: None)
    with pytest.raises(ValueError, match="in none of the contracts"):
        billing(hotel).on(Paid)(lambda tx, received: None)


FILE = """\
pipeline: hotel
source:
  dsn: postgresql://db/hotel
  tables: [{tables}]
  placeholder: unchanged-0123456789abcdef
sinks:
  {sink}
"""
BILLING = "billing: {type: subscriber, dsn: postgresql://db/billing, module: 'b:billing'}"
MIRROR = "mirror: {type: postgres, dsn: postgresql://db/mirror}"


def read(path: Path, tables: str, sink: str) -> Any:
    path.write_text(FILE.format(tables=tables, sink=sink))
    return load(path, env={})


def test_what_a_sink_follows_when_the_file_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    both = "public.booking, eventstore.outbox"
    pipeline = read(file, both, f"{BILLING}\n  {MIRROR}")
    billing, mirror = pipeline.sinks.values()
    assert isinstance(billing, SubscriberSink)
    assert isinstance(mirror, PostgresSink)
    assert (billing.topics, billing.tables, billing.batch.max_events) == (
        ("hotel.events",),
        (),
        200,
    )
    assert mirror.tables == pipeline.rows == ("public.booking",)
    assert topics_of(pipeline, "billing") == ["hotel.events"]
    assert topics_of(pipeline, "mirror") == ["hotel.public.booking"]
    named = BILLING.replace("}", ", topics: [spa.events]}")
    assert topics_of(read(file, "public.booking", named), "billing") == ["spa.events"]
    with pytest.raises(Problem, match=r"names no topic.*TR-CFG-007"):
        read(file, "public.booking", BILLING)
    for tables, sink in (
        ("eventstore.outbox", MIRROR),
        (both, MIRROR.replace("}", ", tables: [eventstore.outbox]}")),
    ):
        with pytest.raises(Problem, match=r"would mirror eventstore.outbox.*TR-CFG-007"):
            read(file, tables, sink)


def test_the_log_of_sagas_is_not_mirrored(tmp_path: Path) -> None:
    """The target has a log of its own by that name."""
    file = tmp_path / "spa.yaml"
    both = "public.booking, sagas.log"
    mirror = read(file, both, MIRROR).sinks["mirror"]
    assert mirror.tables == ("public.booking",)
    for tables, sink in (
        ("sagas.log", MIRROR),
        (both, MIRROR.replace("}", ", tables: [sagas.log]}")),
    ):
        with pytest.raises(Problem, match=r"would mirror sagas.log.*TR-CFG-007"):
            read(file, tables, sink)


def test_events_are_not_mirrored_as_rows(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    both = "public.booking, eventstore.events"
    assert read(file, both, MIRROR).sinks["mirror"].tables == ("public.booking",)
    named = MIRROR.replace("}", ", tables: [eventstore.events]}")
    for tables, sink in (("eventstore.events", MIRROR), (both, named)):
        with pytest.raises(Problem, match=r"mirror eventstore.events.*projection.*TR-CFG-007"):
            read(file, tables, sink)
