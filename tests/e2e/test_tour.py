"""A tour of five services, in both styles, on real servers: through refusals, cancels and kills."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest

from devstack.stack import AnyStack
from examples.tour.booking import office
from examples.tour.load import requests
from sagas import operate
from sagas.protocol import Style
from tailrace.harness.waits import PAUSE, eventually
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove
from tests.tour_people import OPERATORS, Operators

STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
WITHIN_S = 90


@pytest.fixture(scope="module")
def tour(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    folder = tmp_path_factory.mktemp("tour")
    made = Tour(stack.up(), folder, lambda *_: None, prefix=f"e2e{uuid4().hex[:6]}_")
    made.prepare()
    for name in SERVICES:
        made.start(name)
    yield made
    made.close()


def wait_over(tour: Tour) -> None:
    eventually(lambda: tour.live() == 0, WITHIN_S, f"no saga under way; logs in {tour.folder}")


def statuses(tour: Tour, ids: list[UUID]) -> dict[str, int]:
    with tour.connect("tours") as connection:
        rows = connection.execute(
            "SELECT status, count(*) FROM sagas.saga WHERE id = ANY (%s) GROUP BY 1", [ids]
        )
        return dict(rows.fetchall())


@pytest.mark.parametrize("style", STYLES)
def test_all_of_it_or_nothing(tour: Tour, style: Style) -> None:
    ids = tour.begin(60, style, requests(seed=7 + STYLES.index(style), refused_share=0.5))
    wait_over(tour)
    ended = statuses(tour, ids)
    assert ended["COMPLETED"] > 20, ended
    assert ended["COMPENSATED"] > 10, ended
    assert prove(tour) == []


def test_both_styles_come_to_the_same(tour: Tour) -> None:
    """Invariant 17: what is refused depends on the request alone here, so all else must, too."""
    ended, booked = [], []
    for style in STYLES:
        asked = ((uuid4(), request) for _, request in requests(seed=11, refused_share=0.6))
        ids = tour.begin(30, style, asked)
        wait_over(tour)
        ended.append([rows(tour, "tours", "status FROM sagas.saga WHERE id", i)[0][0] for i in ids])
        booked.append([bookings(tour, id_) for id_ in ids])
    assert ended[0] == ended[1]
    assert {"COMPLETED", "COMPENSATED"} == set(ended[0])
    assert booked[0] == booked[1]
    assert sum(map(bool, booked[0])) == ended[0].count("COMPLETED")


def bookings(tour: Tour, id_: UUID) -> list[tuple[object, ...]]:
    """All that stands of a tour, in any of the services."""
    held = "name, units, price_cents FROM booking WHERE state = 'held' AND tour"
    return [
        *(row for name in ("flight", "hotel", "car") for row in rows(tour, name, held, id_)),
        *rows(tour, "payment", "customer, amount_cents FROM payment WHERE tour", id_),
        *rows(tour, "tickets", "1 FROM ticket WHERE tour", id_),
    ]


def rows(tour: Tour, name: str, what: str, id_: UUID) -> list[tuple[object, ...]]:
    with tour.connect(name) as connection:
        return connection.execute(f"SELECT {what} = %s".encode(), [id_]).fetchall()


def test_two_operators_are_as_one(tour: Tour) -> None:
    """Invariant 18: both cancel the same tours at the same moment."""
    both, asked = Operators(tour), requests(seed=19, refused_share=0.0)
    for style in STYLES:
        for _ in range(10):
            both.cancel_some(tour.begin(1, style, asked), Random(1))
    wait_over(tour)
    assert list(both.wrong()) == []
    with tour.connect("tours") as connection:
        acts = connection.execute(
            "SELECT count(*) FROM sagas.log WHERE actor = ANY (%s)", [list(OPERATORS)]
        ).fetchone()
    assert acts is not None
    assert acts[0] > 5
    assert prove(tour) == []


@pytest.mark.parametrize("style", STYLES)
def test_cancelled_on_the_way(tour: Tour, style: Style) -> None:
    """Wherever each of them is by then: undone as a whole, or too late and booked as a whole."""
    asked = requests(seed=23 + STYLES.index(style), refused_share=0.0)
    ids: list[UUID] = []
    with psycopg.connect(tour.services["tours"].dsn) as connection:
        for nth in range(30):
            (id_,) = tour.begin(1, style, asked)
            PAUSE.wait(nth / 100)
            with suppress(operate.CannotDo), connection.transaction():
                operate.give_up(connection, office, id_, "alice", "the customer called")
            ids.append(id_)
    wait_over(tour)
    ended = statuses(tour, ids)
    assert ended["COMPENSATED"] > 0, ended
    assert sum(ended.values()) == 30, ended
    assert prove(tour) == []


@pytest.mark.parametrize("style", STYLES)
def test_services_die_in_the_middle(tour: Tour, style: Style) -> None:
    asked = requests(seed=31 + STYLES.index(style), refused_share=0.3)
    for name in SERVICES[STYLES.index(style) :: 2]:  # each service in one of the styles
        tour.begin(8, style, asked)
        victim = next(p for p in tour.running if tour.named[p.pid] == name and p.poll() is None)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        tour.start(name)
    wait_over(tour)
    assert prove(tour) == []


def test_the_log_is_final_and_its_chain_is_checked(tour: Tour) -> None:
    from sagas import log

    tour.begin(3, "orchestrated", requests(seed=41))
    wait_over(tour)
    with tour.connect("tours") as connection:
        for statement in (
            "UPDATE sagas.log SET reason = ''",
            "DELETE FROM sagas.log",
            "TRUNCATE sagas.log",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(statement)
    for tamper in (
        "UPDATE sagas.log SET reason = 'nobody asked' WHERE seq = 4",
        "DELETE FROM sagas.log WHERE seq = 4",
        "UPDATE sagas.log SET seq = CASE seq WHEN 4 THEN -5 ELSE -4 END WHERE seq IN (4, 5);"
        "UPDATE sagas.log SET seq = -seq WHERE seq < 0",
    ):
        assert broken_by(tour, tamper), tamper
    with tour.connect("tours") as connection:
        assert list(log.verify(connection)) == []


def broken_by(tour: Tour, tamper: str) -> list[object]:
    """What `verify` finds after a superuser has done that; then it is rolled back."""
    from sagas import log

    with psycopg.connect(tour.services["tours"].dsn) as connection:
        connection.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        connection.execute(tamper.encode())
        found: list[object] = list(log.verify(connection))
        connection.rollback()
    return found
