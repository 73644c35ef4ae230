"""Tours in both styles while all kinds of servers and services fail; then every invariant is held.

TAILRACE_CHAOS=long runs 500 faults; TAILRACE_SEED repeats a run.
"""

import os
import sys
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest

from devstack import AnyStack
from examples.tour.booking import office
from examples.tour.load import requests
from sagas import operate
from sagas.protocol import Style
from tailrace.harness.waits import eventually
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove
from tests.chaos.test_worker_kills import LONG
from tests.tour_faults import Faults, parked

FAULTS = 500 if LONG else 8
STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
AT_ONCE = 4
TOURS = 20
WITHIN_S = 240


@pytest.mark.timeout(3 * 3600 if LONG else 600)
def test_whatever_fails_a_tour_is_whole_or_gone(
    stack: AnyStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seed = int(os.environ.get("TAILRACE_SEED", "0")) or Random().randrange(1, 10**6)
    sys.stdout.write(f"TAILRACE_SEED={seed}\n")
    folder = tmp_path_factory.mktemp("tour")
    tour = Tour(stack.up(), folder, lambda *_: None, prefix=f"c{uuid4().hex[:6]}_")
    tour.prepare()
    faults = Faults(tour, stack, Random(seed))
    try:
        for name in SERVICES:
            tour.start(name)
        asked = requests(seed, refused_share=0.3)
        while len(faults.done) < FAULTS:
            for _ in range(AT_ONCE):
                for style in STYLES:
                    cancel_some(tour, tour.begin(TOURS // AT_ONCE, style, asked), faults.chance)
                faults.one()
            faults.heal()
            settle(tour)
        wrong = prove(tour)
        assert wrong == [], (seed, faults.done, wrong[:20])
    finally:
        faults.wake()
        tour.close()


def cancel_some(tour: Tour, ids: list[UUID], chance: Random) -> None:
    with psycopg.connect(tour.services["tours"].dsn) as connection:
        for id_ in chance.sample(ids, 1):
            try:
                operate.give_up(connection, office, id_, "chaos", "a customer called")
                connection.commit()
            except operate.CannotDo:
                connection.rollback()


def settle(tour: Tour) -> None:
    """Until nothing is under way; what was parked in an outage is resumed, as a person would."""

    def over() -> bool:
        with psycopg.connect(tour.services["tours"].dsn) as connection:
            rows = connection.execute(
                "SELECT id FROM sagas.saga WHERE status IN ('PARKED', 'COMPENSATION_PARKED')"
            ).fetchall()
            for (id_,) in rows:
                operate.resume(connection, office, id_, "chaos", "the servers are back")
            connection.commit()
        return tour.live() == 0 and parked(tour) == 0

    eventually(over, WITHIN_S, f"no tour under way; logs in {tour.folder}", every_s=0.5)
