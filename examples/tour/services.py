"""
The five services. Each has its own database; only the refusals, and joining the
choreographed style, have to do with sagas.

Stocks are changed by adding and taking away, never by setting: no tour overwrites another's change.
"""

from typing import Any

import psycopg

from eventstore.contracts import Event
from examples.tour.booking import BookTour
from examples.tour.contracts import (
    CarReserved,
    Charge,
    Charged,
    Declined,
    FlightFull,
    HotelFull,
    IssueTickets,
    NoCarLeft,
    ReserveCar,
    ReserveRooms,
    ReserveSeats,
    RoomsReserved,
    SeatsReserved,
    TicketsIssued,
    charge,
    issue_tickets,
    reserve_car,
    reserve_rooms,
    reserve_seats,
)
from sagas.participant import Participant, Refused

Tx = psycopg.Connection[Any]
Reserve = ReserveSeats | ReserveRooms | ReserveCar

flight = Participant("flight")
hotel = Participant("hotel")
car = Participant("car")
payment = Participant("payment")
tickets = Participant("tickets")

HOLD = """
WITH taken AS (
  UPDATE stock SET free = free - %(units)s, held = held + %(units)s
  WHERE name = %(name)s AND free >= %(units)s RETURNING price_cents
)
INSERT INTO booking (tour, name, units, price_cents)
SELECT %(tour)s, %(name)s, %(units)s, price_cents * %(units)s * %(times)s FROM taken
RETURNING price_cents
"""
PAY = """
WITH paid AS (
  UPDATE account SET balance_cents = balance_cents - %(cents)s
  WHERE customer = %(customer)s AND balance_cents >= %(cents)s RETURNING customer
)
INSERT INTO payment SELECT %(tour)s, customer, %(cents)s FROM paid
"""
CANCEL = """
WITH gone AS (
  UPDATE booking SET state = 'cancelled' WHERE tour = %s AND state = 'held' RETURNING name, units
)
UPDATE stock SET free = free + gone.units, held = held - gone.units
FROM gone WHERE stock.name = gone.name
"""


@flight.does(reserve_seats)
def hold_seats(tx: Tx, asked: ReserveSeats) -> SeatsReserved:
    """Seats, if there are so many left."""
    price_cents = _hold(tx, asked.tour, asked.flight, asked.seats, times=1)
    if price_cents is None:
        raise Refused(FlightFull(flight=asked.flight))
    return SeatsReserved(flight=asked.flight, seats=asked.seats, price_cents=price_cents)


@hotel.does(reserve_rooms)
def hold_rooms(tx: Tx, asked: ReserveRooms) -> RoomsReserved:
    """Rooms, if there are so many left."""
    price_cents = _hold(tx, asked.tour, asked.hotel, asked.rooms, times=asked.nights)
    if price_cents is None:
        raise Refused(HotelFull(hotel=asked.hotel))
    return RoomsReserved(hotel=asked.hotel, rooms=asked.rooms, price_cents=price_cents)


@car.does(reserve_car)
def hold_car(tx: Tx, asked: ReserveCar) -> CarReserved:
    """A car, if there is one left."""
    price_cents = _hold(tx, asked.tour, asked.car, 1, times=asked.days)
    if price_cents is None:
        raise Refused(NoCarLeft(car=asked.car))
    return CarReserved(car=asked.car, price_cents=price_cents)


@flight.undoes(reserve_seats)
@hotel.undoes(reserve_rooms)
@car.undoes(reserve_car)
def release(tx: Tx, asked: Reserve, given: Event) -> None:
    """Whatever is held for the tour is free again."""
    tx.execute(CANCEL, [asked.tour])


@payment.does(charge)
def take_money(tx: Tx, asked: Charge) -> Charged:
    """The price of the tour, if the account has so much."""
    values = {"tour": asked.tour, "customer": asked.customer, "cents": asked.amount_cents}
    if not tx.execute(PAY, values).rowcount:
        raise Refused(Declined(reason="the account does not have so much"))
    return Charged(amount_cents=asked.amount_cents)


@tickets.does(issue_tickets)
def issue(tx: Tx, asked: IssueTickets) -> TicketsIssued:
    """A number for each person; nothing can be against it."""
    numbers = tx.execute(
        "INSERT INTO ticket (tour) SELECT %s FROM generate_series(1, %s) RETURNING number",
        [asked.tour, asked.people],
    ).fetchall()
    return TicketsIssued(first=numbers[0][0], count=asked.people)


def _hold(tx: Tx, tour: Any, name: str, units: int, *, times: int) -> int | None:
    """The price in cents; None where there is not so much left."""
    values = {"tour": tour, "name": name, "units": units, "times": times}
    row = tx.execute(HOLD, values).fetchone()
    return None if row is None else int(row[0])


for service in (flight, hotel, car, payment, tickets):
    service.joins(BookTour)
