"""People around a run of tours: customers who look, operators who act at once, what each saw."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import psycopg
from psycopg import sql

from examples.tour.booking import office
from sagas import operate
from tailrace.harness.topics import ends
from tailrace.harness.waits import eventually
from tailrace.tour import HEARS, SERVICES, Tour

LOOK_EVERY_S = 0.2
OPERATORS = ("ann", "bob")
PARKED = "SELECT id FROM sagas.saga WHERE status IN ('PARKED', 'COMPENSATION_PARKED')"
NEWS = "SELECT id, status, version FROM sagas.saga WHERE ended_at IS NULL OR id = ANY (%s)"
ORDER = {
    "RUNNING": 0, "PARKED": 0, "COMPENSATING": 1, "COMPENSATION_PARKED": 1,
    "COMPLETED": 2, "COMPENSATED": 2,
}  # fmt: skip
"""A status is never followed by one of a lower number, nor a last one by another."""
DIGEST = sql.SQL("SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {} t")
BUSINESS = {
    "tours": ("tour", "sagas.saga", "sagas.log", "eventstore.outbox"),
    **{
        name: (*tables, "sagas.fence", "sagas.log", "eventstore.outbox")
        for name, tables in {
            "flight": ("stock", "booking"),
            "hotel": ("stock", "booking"),
            "car": ("stock", "booking"),
            "payment": ("account", "payment"),
            "tickets": ("ticket",),
        }.items()
    },
}


@dataclass
class Customers:
    """Look at the status of their tours all the time; `wrong` are sentences: 14 does not hold."""

    tour: Tour
    wrong: list[str] = field(default_factory=list)
    looks: int = 0
    seen: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """After a last look at all that they ever saw."""
        self._stop.set()
        self._thread.join()
        with self.tour.connect("tours") as connection:
            self._look(connection, list(self.seen))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.tour.connect("tours") as connection:
                    while not self._stop.wait(LOOK_EVERY_S):
                        self._look(
                            connection, [i for i, (s, _) in self.seen.items() if ORDER[s] < 2]
                        )
            except psycopg.OperationalError:  # the server is down
                self._stop.wait(LOOK_EVERY_S)

    def _look(self, connection: psycopg.Connection, ids: list[UUID]) -> None:
        for id_, status, version in connection.execute(NEWS, [ids]).fetchall():
            before, at = self.seen.get(id_, ("RUNNING", 0))
            if goes_back(before, status) or version < at:
                self.wrong.append(f"14: {id_} was {before} ({at}), and then {status} ({version})")
            self.seen[id_] = status, version
            self.looks += 1


def goes_back(before: str, now: str) -> bool:
    """What no customer may see: an end that was none, or a tour that is undone and then is not."""
    is_back = ORDER[now] < ORDER[before] or (ORDER[before] == 2 and now != before)
    return is_back or (ORDER[before] == 1 and now == "COMPLETED")


@dataclass
class Operators:
    """Two at once, always at the same saga."""

    tour: Tour
    acts: int = 0

    def cancel_some(self, ids: list[UUID], chance: Random) -> None:
        """One of these."""
        self._both(operate.give_up, chance.choice(ids), "a customer called")

    def parked(self) -> list[UUID]:
        """Sagas that wait for a person."""
        with self.tour.connect("tours") as connection:
            return [id_ for (id_,) in connection.execute(PARKED).fetchall()]

    def resume_parked(self) -> None:
        """What was parked in an outage, as a person would."""
        for id_ in self.parked():
            self._both(operate.resume, id_, "the servers are back")

    def wrong(self) -> Iterator[str]:
        """Sentences: 18 does not hold."""
        with self.tour.connect("tours") as connection:
            rows = connection.execute(
                "SELECT subject, reason, count(*) FROM sagas.log WHERE actor = ANY (%s)"
                " GROUP BY 1, 2 HAVING count(*) > 1",
                [list(OPERATORS)],
            ).fetchall()
        yield from (f"18: {reason} was done {n} times to {saga}" for saga, reason, n in rows)

    def _both(self, act: Callable[..., None], id_: UUID, reason: str) -> None:
        self.acts += 1
        told = f"{reason} ({self.acts})"

        def one(actor: str) -> None:
            with psycopg.connect(self.tour.services["tours"].dsn) as connection:
                try:
                    act(connection, office, id_, actor, told)
                    connection.commit()
                except operate.CannotDo:
                    connection.rollback()

        with ThreadPoolExecutor(len(OPERATORS)) as pool:
            list(pool.map(one, OPERATORS))


def replay(tour: Tour, within_s: float) -> list[str]:
    """All services, which are stopped, read everything again; sentences: 21 does not hold."""
    before = digests(tour)
    for name in SERVICES:
        with tour.connect(name) as connection:
            connection.execute("UPDATE tailrace.offsets SET next_offset = 0")
        tour.start(name)
    eventually(lambda: is_through(tour), within_s, "all is read again", every_s=1)
    after = digests(tour)
    return [f"21: reading all again changed {key}" for key in before if after[key] != before[key]]


def is_through(tour: Tour) -> bool:
    """Whether every service has handled all that its topics have."""
    for name in SERVICES:
        topics = [f"{tour.prefix}{each}" for each in HEARS[name]]
        last = ends(tour.services[name].pipeline.kafka, topics)
        with tour.connect(name) as connection:
            rows = connection.execute(
                "SELECT topic, partition, next_offset FROM tailrace.offsets"
            ).fetchall()
        there = {(topic, partition): offset for topic, partition, offset in rows}
        if any(there.get((at.topic, at.partition), 0) < end for at, end in last.items()):
            return False
    return True


def digests(tour: Tour) -> dict[str, str]:
    """Of every table that means something, in all databases."""
    found = {}
    for name, tables in BUSINESS.items():
        with tour.connect(name) as connection:
            for table in tables:
                row = connection.execute(
                    DIGEST.format(sql.Identifier(*table.split(".")))
                ).fetchone()
                found[f"{name} {table}"] = str(row)
    return found
