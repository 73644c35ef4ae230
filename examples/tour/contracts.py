"""What the services of a tour say to each other. Amounts are in cents."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from eventstore.contracts import Contracts, Event
from sagas.declared import Action

Count = Annotated[int, Field(gt=0, le=100)]
Cents = Annotated[int, Field(ge=0)]

tours = Contracts("tours")
flight = Contracts("flight")
hotel = Contracts("hotel")
car = Contracts("car")
payment = Contracts("payment")
tickets = Contracts("tickets")


@tours.event("tour.requested")
class TourRequested(Event):
    """A customer wants all of this together; the car is welcome, but not needed."""

    customer: str
    people: Count
    flight: str
    hotel: str
    nights: Count
    car: str


@flight.event("flight.reserve")
class ReserveSeats(Event):
    """Hold seats for a tour."""

    tour: UUID
    flight: str
    seats: Count


@flight.event("flight.reserved")
class SeatsReserved(Event):
    """They are held; the price is for all of them."""

    flight: str
    seats: Count
    price_cents: Cents


@flight.event("flight.full")
class FlightFull(Event):
    """There are not so many left."""

    flight: str


@hotel.event("hotel.reserve")
class ReserveRooms(Event):
    """Hold rooms for a tour."""

    tour: UUID
    hotel: str
    rooms: Count
    nights: Count


@hotel.event("hotel.reserved")
class RoomsReserved(Event):
    """They are held; the price is for all nights."""

    hotel: str
    rooms: Count
    price_cents: Cents


@hotel.event("hotel.full")
class HotelFull(Event):
    """There are not so many left."""

    hotel: str


@car.event("car.reserve")
class ReserveCar(Event):
    """Hold a car for a tour."""

    tour: UUID
    car: str
    days: Count


@car.event("car.reserved")
class CarReserved(Event):
    """It is held; the price is for all days."""

    car: str
    price_cents: Cents


@car.event("car.none_left")
class NoCarLeft(Event):
    """There is none left."""

    car: str


@payment.event("payment.charge")
class Charge(Event):
    """Take the price of a tour from its customer."""

    tour: UUID
    customer: str
    amount_cents: Cents


@payment.event("payment.charged")
class Charged(Event):
    """It was taken."""

    amount_cents: Cents


@payment.event("payment.declined")
class Declined(Event):
    """It cannot be taken."""

    reason: str


@tickets.event("tickets.issue")
class IssueTickets(Event):
    """A ticket for each person."""

    tour: UUID
    people: Count


@tickets.event("tickets.issued")
class TicketsIssued(Event):
    """Numbers of tickets, one after the other from `first` on."""

    first: int
    count: Count


reserve_seats = Action(
    "flight.reserve", flight, takes=ReserveSeats, gives=SeatsReserved, refuses=(FlightFull,)
)
reserve_rooms = Action(
    "hotel.reserve", hotel, takes=ReserveRooms, gives=RoomsReserved, refuses=(HotelFull,)
)
reserve_car = Action("car.reserve", car, takes=ReserveCar, gives=CarReserved, refuses=(NoCarLeft,))
charge = Action(
    "payment.charge", payment, takes=Charge, gives=Charged, refuses=(Declined,), is_final=True
)
issue_tickets = Action(
    "tickets.issue", tickets, takes=IssueTickets, gives=TicketsIssued, is_final=True
)
