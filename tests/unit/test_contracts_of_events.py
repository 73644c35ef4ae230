"""What an event may be, and how an old one is read: eventstore/contracts.py."""

from datetime import date
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import Field

from eventstore.contracts import Contracts, Data, Event, Invalid

hotel = Contracts("/hotel")


@hotel.event("hotel.room.held", version=3)
class RoomHeld(Event):
    room: str
    nights: Annotated[int, Field(gt=0)]
    since: date
    price: Decimal
    currency: str


@hotel.upcast("hotel.room.held", to=2)
def _(data: Data) -> Data:
    return data | {"currency": "EUR"}


@hotel.upcast("hotel.room.held", to=3)
def _(data: Data) -> Data:
    return data | {"room": data.pop("room_id")}


HELD = RoomHeld(room="r1", nights=2, since=date(2026, 1, 2), price=Decimal("9.50"), currency="EUR")


def test_what_was_written_is_read() -> None:
    assert hotel.decode("hotel.room.held", 3, hotel.encode(HELD)) == HELD


def test_an_old_event_comes_up_through_every_version() -> None:
    old = '{"room_id": "r1", "nights": 2, "since": "2026-01-02", "price": "9.50"}'
    assert hotel.decode("hotel.room.held", 1, old) == HELD


def test_fields_of_newer_code_are_left_out() -> None:
    newer = hotel.encode(HELD)[:-1] + ', "view": "sea"}'
    assert hotel.decode("hotel.room.held", 3, newer) == HELD


@pytest.mark.parametrize(
    ("name", "version", "data", "told"),
    [
        ("hotel.room.held", 4, "{}", "knows 1 to 3: update this consumer"),
        ("hotel.room.held", 0, "{}", "knows 1 to 3"),
        ("hotel.room.lost", 1, "{}", "no event 'hotel.room.lost'"),
        ("hotel.room.held", 3, "{", "is not valid"),
        ("hotel.room.held", 1, "[]", "no JSON object"),
        ("hotel.room.held", 1, "{", "no JSON"),
        ("hotel.room.held", 1, '{"nights": 1}', "the upcaster to version 3 failed"),
        ("hotel.room.held", 3, '{"room": "r"}', "(and 1 more)"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, version: int, data: str, told: str) -> None:
    with pytest.raises(Invalid, match=told.replace("(", r"\(").replace(")", r"\)")):
        hotel.decode(name, version, data)


def test_the_sentence_does_not_show_values() -> None:
    with pytest.raises(Invalid) as caught:
        hotel.decode("hotel.room.held", 3, '{"room": 5, "nights": "secret-value"}')
    assert "secret-value" not in str(caught.value)


def test_an_event_made_without_validation_is_not_written() -> None:
    with pytest.raises(Invalid, match="nights"):
        hotel.encode(RoomHeld.model_construct(**(HELD.model_dump() | {"nights": 0})))


def test_only_its_own_events_are_written() -> None:
    class Other(Event):
        pass

    with pytest.raises(Invalid, match="Other is no event of the contracts of /hotel"):
        hotel.encode(Other())


def test_names_and_versions_are_checked() -> None:
    with pytest.raises(ValueError, match="is named like hotel"):
        hotel.event("Room Held")
    with pytest.raises(ValueError, match="one class"):
        hotel.event("hotel.room.held", version=4)


def test_a_version_that_nothing_leads_to_is_named() -> None:
    lone = Contracts("/lone")
    lone.event("a.b", version=3)(type("Lone", (Event,), {}))
    assert lone.missing_upcasters() == [("a.b", 2), ("a.b", 3)]
