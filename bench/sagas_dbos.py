"""
The tour as a workflow of the library `dbos`, in a process of its own that `bench.sagas` starts.

One process that reaches all five databases, without broker or services: a floor for how long a
tour takes. Its steps are the same functions as those of `examples.tour.services`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any
from uuid import UUID, uuid4

import psycopg

from bench.lab import BenchFailed
from eventstore.contracts import Event
from examples.tour import services
from examples.tour.contracts import (
    Charge,
    IssueTickets,
    ReserveCar,
    ReserveRooms,
    ReserveSeats,
    TourRequested,
)
from examples.tour.load import requests

THREADS = 8
"""Tours at a time: more only wait for the interpreter's lock, on two cores."""
ACTS: Mapping[str, Callable[[psycopg.Connection[Any], Any], Event]] = {
    "flight": services.hold_seats,
    "hotel": services.hold_rooms,
    "car": services.hold_car,
    "payment": services.take_money,
    "tickets": services.issue,
}

Figures = dict[str, Any]
Step = Callable[[Event], Figures]


class Peer:
    """The process. `system` is the DSN of the database in which dbos keeps its own tables."""

    def __init__(self, system: str, databases: Mapping[str, str], log: IO[bytes]) -> None:
        words = [sys.executable, "-m", "bench.sagas_dbos"]
        pipe = subprocess.PIPE
        self.system = system
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=log)
        self._ask({"system": system, "databases": dict(databases)})

    def book(self, number: int, *, rate: float | None = None) -> Figures:
        """
        So many tours, begun at once or so many a second, until the last is over: their `ids`,
        `took_s`, `asked_s`. Raises BenchFailed if the process ends, as it does when a tour fails.
        """
        return self._ask({"number": number, "rate": rate})

    def close(self) -> None:
        """It ends when nothing more is asked."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _ask(self, question: Figures) -> Figures:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise BenchFailed("The process of dbos has ended; its log says why.")
        return dict(json.loads(answer))


def _workflow(databases: Mapping[str, str]) -> Callable[[str, Figures], Figures]:
    """
    The steps one after another: dbos runs them at once only under asyncio, where a tour costs
    twice the CPU and is slower.
    """
    from dbos import DBOS

    steps = {name: _step(name, dsn) for name, dsn in databases.items()}

    @DBOS.workflow()
    def book_tour(id_: str, request: Figures) -> Figures:
        tour, asked = UUID(id_), TourRequested(**request)
        rooms = (asked.people + 1) // 2
        held = [
            steps["flight"](ReserveSeats(tour=tour, flight=asked.flight, seats=asked.people)),
            steps["hotel"](
                ReserveRooms(tour=tour, hotel=asked.hotel, rooms=rooms, nights=asked.nights)
            ),
            steps["car"](ReserveCar(tour=tour, car=asked.car, days=asked.nights)),
        ]
        cents = sum(each["price_cents"] for each in held)
        steps["payment"](Charge(tour=tour, customer=asked.customer, amount_cents=cents))
        return steps["tickets"](IssueTickets(tour=tour, people=asked.people))

    return book_tour


def _step(name: str, dsn: str) -> Step:
    """
    Once in effect: dbos commits the step's result in the same transaction. The statements are right
    under READ COMMITTED; its default, SERIALIZABLE, would make tours of one flight fail and retry.
    """
    from dbos import SQLAlchemyDatasource

    # One connection for each thread, all of which may be in this step.
    pool = {"pool_size": THREADS, "max_overflow": 0}
    source = SQLAlchemyDatasource.create(dsn, engine_kwargs=pool)

    @source.transaction(name=name, isolation_level="READ COMMITTED")
    def act(asked: Event) -> Figures:
        connection: Any = source.sql_session().connection().connection.driver_connection
        return ACTS[name](connection, asked).model_dump()

    return act


def _book(book_tour: Callable[[str, Figures], Figures], asked: Figures) -> Figures:
    from dbos import DBOS, SetWorkflowID

    picked, handles = requests(seed=1, refused_share=0.0), []
    began_s = time.monotonic()
    for nth in range(asked["number"]):
        if asked["rate"]:
            time.sleep(max(0.0, began_s + nth / asked["rate"] - time.monotonic()))
        id_, (_, request) = str(uuid4()), next(picked)
        with SetWorkflowID(id_):
            handles.append(DBOS.start_workflow(book_tour, id_, request.model_dump()))
    asked_s = time.monotonic() - began_s
    for handle in handles:
        handle.get_result()
    return {
        "ids": [handle.get_workflow_id() for handle in handles],
        "took_s": time.monotonic() - began_s,
        "asked_s": asked_s,
    }


def main() -> None:
    """A question a line, and an answer a line: first where the databases are, then tours."""
    from dbos import DBOS

    where = json.loads(sys.stdin.readline())
    DBOS(
        config={
            "name": "tour",
            "system_database_url": where["system"],
            "max_executor_threads": THREADS,
            "log_level": "WARNING",
        }
    )
    book_tour = _workflow(where["databases"])
    try:
        DBOS.launch()
        _answer({})
        for line in sys.stdin:
            _answer(_book(book_tour, json.loads(line)))
    finally:
        DBOS.destroy()  # a failed tour ends those that wait for a thread


def _answer(figures: Figures) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
