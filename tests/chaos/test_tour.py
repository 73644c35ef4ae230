"""Tours in both styles while all kinds of servers and services fail; then every invariant is held.

TAILRACE_CHAOS=long runs 500 faults (TAILRACE_FAULTS: so many); TAILRACE_SEED repeats a run; -s
shows how far it is.
"""

import os
import sys
import time
from random import Random
from uuid import uuid4

import pytest

from devstack import AnyStack
from examples.tour.load import requests
from sagas.protocol import Style
from tailrace.harness.waits import PAUSE, eventually
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove
from tests.chaos.test_worker_kills import LONG
from tests.tour_faults import Faults
from tests.tour_mail import BAD, Mail
from tests.tour_people import Customers, Operators, replay

FAULTS = int(os.environ.get("TAILRACE_FAULTS", "500" if LONG else "8"))
STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
AT_ONCE = 50
"""Faults between two times that everything is let come to rest."""
TOURS = 3
"""In each style, before each fault."""
PACE_S = (0.2, 1.5)
WITHIN_S = 400


@pytest.mark.timeout(3 * 3600 if LONG else 600)
def test_whatever_fails_a_tour_is_whole_or_gone(
    stack: AnyStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seed = int(os.environ.get("TAILRACE_SEED", "0")) or Random().randrange(1, 10**6)
    say(f"TAILRACE_SEED={seed}")
    folder = tmp_path_factory.mktemp("tour")
    tour = Tour(stack.up(), folder, lambda *_: None, f"c{uuid4().hex[:6]}_", partitions=2)
    tour.prepare()
    faults = Faults(tour, stack, Random(seed), Mail(tour))
    run = Run(tour, faults, seed)
    try:
        for name in SERVICES:
            tour.start(name)
        for bad in BAD:
            faults.mail.spoil(bad)
        while len(faults.done) < FAULTS:
            run.wave(min(AT_ONCE, FAULTS - len(faults.done)))
            run.hold(run.proved())
        run.end()
    finally:
        run.customers.close()
        faults.end()
        tour.close()


class Run:
    """The tours of one run, and the people around them."""

    def __init__(self, tour: Tour, faults: Faults, seed: int) -> None:
        self.tour, self.faults, self.seed = tour, faults, seed
        self.customers, self.operators = Customers(tour), Operators(tour)
        self._asked = requests(seed, refused_share=0.3)
        self._began_s = time.monotonic()

    def wave(self, number: int) -> None:
        """So many faults, each under load; then nothing is wrong until no tour is under way."""
        for _ in range(number):
            for style in STYLES:
                ids = self.tour.begin(TOURS, style, self._asked)
                self.operators.cancel_some(ids, self.faults.chance)
            self.faults.one()
            self.tell(self.faults.done[-1])
            PAUSE.wait(self.faults.chance.uniform(*PACE_S))
            self.faults.tend()
        self.faults.mend()
        eventually(self._is_over, WITHIN_S, f"no tour under way; logs in {self.tour.folder}")
        self.tell(f"all is over: {len(self.customers.seen)} tours")

    def _is_over(self) -> bool:
        self.operators.resume_parked()
        self.faults.tend()
        self.faults.restart_tasks()
        PAUSE.wait(1)
        return self.tour.live() == 0 and not self.operators.parked()

    def proved(self) -> list[str]:
        """What is wrong, once all that was said has been heard."""

        def found() -> list[list[str]]:
            wrong = prove(self.tour)
            assert not wrong or not wrong[-1].startswith("11:"), wrong
            return [wrong]

        (wrong,) = eventually(found, WITHIN_S, every_s=1)
        return wrong

    def hold(self, wrong: list[str]) -> None:
        """Nothing is wrong, or else whoever has to repeat it knows how."""
        found = [*self.customers.wrong, *self.operators.wrong(), *wrong]
        assert found == [], (self.seed, self.faults.done, found[:20])

    def end(self) -> None:
        """What holds of all of it."""
        self.hold(list(self.faults.mail.not_set_aside()))
        self.faults.kill_all()
        self.hold(replay(self.tour, WITHIN_S))
        self.hold(prove(self.tour))
        self.tell(
            f"all holds: {dict(self.faults.kinds)}; ends {dict(self.faults.exits)};"
            f" {len(self.faults.mail.bad)} invalid; {self.operators.acts} acts of two;"
            f" {self.customers.looks} looks"
        )

    def tell(self, words: str) -> None:
        minutes = (time.monotonic() - self._began_s) / 60
        say(f"[{minutes:5.1f} min] {len(self.faults.done)}/{FAULTS} {words}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
