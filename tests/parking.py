"""Sagas of the tour in a database, whose participants answer as a test says."""

from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import psycopg

from examples.tour.booking import BookTour, office
from examples.tour.load import requests
from sagas import instances
from sagas.orchestrator import start
from sagas.protocol import Input, Reply, TimedOut
from sagas.turn import Turn


class Tours:
    """Its tables have to be there."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._requests = requests(seed=7)

    def begins(self, count: int = 1) -> list[UUID]:
        with psycopg.connect(self.dsn) as tx:
            found = islice(self._requests, count)
            return [start(tx, office, BookTour, request, id_=id_) for id_, request in found]

    def hears(self, saga: UUID, *inputs: Input, actor: str = "timer") -> str:
        with psycopg.connect(self.dsn) as tx:
            (one,) = instances.named(tx, [saga]).values()
            for each in inputs:
                turn = Turn(office.sagas, office.name, datetime.now(UTC))
                turn.act(one, each, actor, "as the test says")
                turn.write(tx)
                one.version += 1
            return one.status

    def park(self, saga: UUID, step: str = "hotel") -> None:
        """No answer to any try."""
        tries = BookTour.plan.steps[BookTour.plan.index[step]].tries
        said = [TimedOut(BookTour.plan.index[step], number) for number in range(1, tries + 1)]
        assert self.hears(saga, *said) == "PARKED"

    def parked(self, count: int = 1) -> list[UUID]:
        found = self.begins(count)
        for saga in found:
            self.park(saga)
        return found

    def comes_back(self, step: str = "hotel") -> None:
        """Its participant answers another saga."""
        actor = f"participant {BookTour.plan.steps[BookTour.plan.index[step]].participant}"
        self.hears(self.begins()[0], Reply(BookTour.plan.index[step], "DONE"), actor=actor)
