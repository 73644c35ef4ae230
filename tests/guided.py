"""Contracts with something of everything, for tests of what is written about them."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from eventstore.contracts import Contracts, Data, Event


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Cost(BaseModel):
    amount: int


class Extra(BaseModel):
    name: str = Field(description="As on the bill.")
    parts: list["Extra"] = []


def guided() -> Contracts:
    """`hotel.room.held` in version 2, and `hotel.room.freed`, which nobody reads."""
    hotel = Contracts("/hotel")

    @hotel.event("hotel.room.held", version=2)
    class RoomHeld(Event):
        """A room is kept for a guest until it is paid for, or the hold runs out."""

        room: Annotated[
            str, Field(pattern="^r[0-9]+$", examples=["r12"], description="As on the door.")
        ]
        nights: Annotated[int, Field(gt=0, le=30)]
        price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
        since: date
        until: datetime | None = None
        paid_by: Annotated[Card | Cash, Field(discriminator="kind")]
        extras: list[Extra] = Field([])
        by_day: dict[date, Cost] = Field({})
        place: tuple[int, str] = (1, "left")
        colour: Colour = Colour.RED
        tags: list[str] = Field([])
        anything: Any = None

    @hotel.event("hotel.room.freed")
    class RoomFreed(Event):
        room: str

    @hotel.upcast("hotel.room.held", to=2)
    def _(data: Data) -> Data:
        return data | {"room": data.pop("old_room")}

    hotel.reads("billing", RoomHeld)
    hotel.reads("search", RoomHeld)
    return hotel
