"""The saga: which steps a tour takes, and what each is told."""

from examples.tour.contracts import (
    Charge,
    IssueTickets,
    ReserveCar,
    ReserveRooms,
    ReserveSeats,
    TourRequested,
    charge,
    issue_tickets,
    reserve_car,
    reserve_rooms,
    reserve_seats,
    tours,
)
from sagas.declared import Course, Pivot, Saga, Step
from sagas.orchestrator import Orchestrator

Tour = Course[TourRequested]


def _seats(tour: Tour) -> ReserveSeats:
    return ReserveSeats(tour=tour.id, flight=tour.request.flight, seats=tour.request.people)


def _rooms(tour: Tour) -> ReserveRooms:
    rooms = (tour.request.people + 1) // 2
    asked = tour.request
    return ReserveRooms(tour=tour.id, hotel=asked.hotel, rooms=rooms, nights=asked.nights)


def _car(tour: Tour) -> ReserveCar:
    return ReserveCar(tour=tour.id, car=tour.request.car, days=tour.request.nights)


def _price(tour: Tour) -> Charge:
    """Of what was really reserved: the exact price, known only now."""
    reserved = [tour[step] for step in ("flight", "hotel", "car") if step in tour]
    amount_cents = sum(each.price_cents for each in reserved)
    return Charge(tour=tour.id, customer=tour.request.customer, amount_cents=amount_cents)


def _tickets(tour: Tour) -> IssueTickets:
    return IssueTickets(tour=tour.id, people=tour.request.people)


class BookTour(Saga, name="book-tour", request=TourRequested, contracts=tours, deadline_s=120):
    """Flight, hotel and car at once; paid when they are there; tickets when it is paid."""

    flight = Step(reserve_seats, _seats)
    hotel = Step(reserve_rooms, _rooms)
    car = Step(reserve_car, _car, optional=True)
    pay = Pivot(charge, _price, after=[flight, hotel, car])
    tickets = Step(issue_tickets, _tickets, after=[pay])


office = Orchestrator("tours", BookTour)
