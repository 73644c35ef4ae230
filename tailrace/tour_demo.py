"""
`tailrace demo tour`: bookings flow in both styles; the orchestrator, a service and a connector die
in the middle; an operator cancels some; then every invariant is held against all six databases.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import msgspec
import psycopg

from devstack import Stack
from examples.tour.booking import office
from examples.tour.load import requests
from sagas import log, operate
from sagas.log import Connection
from sagas.protocol import Style
from sinks.target import load_statements
from tailrace.exits import Problem
from tailrace.progress import Listener
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove

STATEMENTS = load_statements(Path(__file__).with_suffix(".sql"))
STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
PER_S = 8
CANCELLED_SHARE = 0.03
READY_WITHIN_S = DRAIN_WITHIN_S = 180.0
LOOK_EVERY_S = 0.2
PAUSE = threading.Event()


class Latency(msgspec.Struct, frozen=True):
    """From the request to the end, of the sagas that were completed."""

    style: Style
    completed: int
    p50_ms: float | None
    p99_ms: float | None


class Outcome(msgspec.Struct, frozen=True):
    """What a run came to. `wrong` are the invariants that do not hold; empty is the proof."""

    by_status: dict[str, int]
    latency: list[Latency]
    log_lines: int
    cancelled_by_hand: int
    wrong: list[str]


class TourDemo:
    """One run in `folder`; `close` ends all that it has started."""

    def __init__(self, folder: Path, seconds: float, say: Listener) -> None:
        self._seconds = seconds
        self._say = say
        self._stack = Stack(folder / "stack")
        self._folder = folder
        self._chance = Random(1)
        self._asked = requests(seed=1, refused_share=0.25)
        self._cancelled = 0

    def prepare(self) -> None:
        """Servers, services, and a first tour through all of them: then each is known to work."""
        self._stack.reset()
        at = self._stack.up(self._say)
        self._tour = Tour(at, self._folder / "services", self._say, publishes_logs=True)
        self._tour.prepare()
        for name in SERVICES:
            self._tour.start(name)
        self._tour.start("tours", instance="two")
        self._say("services", "a first tour goes through all of them")
        for style in STYLES:
            first = ((uuid4(), request) for _, request in requests(seed=2, refused_share=0.0))
            self._tour.begin(1, style, first)
        self._until_over(READY_WITHIN_S)

    def run(self, tell: Callable[[float, str], None]) -> Outcome:
        """With a line for everything that is done to it, and one every two seconds."""
        began_s = time.monotonic()
        acts = iter(self._acts())
        due = next(acts, None)
        for elapsed_s in self._ticks(began_s):
            style: Style = STYLES[int(elapsed_s * 10) % 2]
            self._cancel_some(self._tour.begin(1, style, self._asked))
            if due is not None and elapsed_s >= due[0] * self._seconds:
                tell(elapsed_s, due[1])
                threading.Thread(target=due[2], daemon=True).start()
                due = next(acts, None)
            if int(elapsed_s) % 2 == 0 and int(elapsed_s - 1 / PER_S) != int(elapsed_s):
                tell(elapsed_s, self._line())
        tell(time.monotonic() - began_s, "no more is asked for; what is under way ends")
        self._until_over(DRAIN_WITHIN_S)
        tell(time.monotonic() - began_s, self._line())
        return self._outcome()

    def _acts(self) -> list[tuple[float, str, Callable[[], None]]]:
        """When, as a share of the time; what is told; and what is done."""
        return [
            (
                0.25,
                "the orchestrator that works is killed (SIGKILL); another takes over",
                lambda: self._kill("tours"),
            ),
            (
                0.45,
                "the hotel is killed (SIGKILL) in mid-saga, and started again",
                lambda: self._kill("hotel", restart=True),
            ),
            (0.65, "Kafka Connect is killed (SIGKILL), and started again", self._lose_connect),
        ]

    def close(self) -> None:
        """The data stays until the next run."""
        if hasattr(self, "_tour"):
            self._tour.close()
        self._stack.down(self._say)

    def _ticks(self, began_s: float) -> Iterator[float]:
        nth = 0
        while (elapsed_s := time.monotonic() - began_s) < self._seconds:
            yield elapsed_s
            nth += 1
            PAUSE.wait(max(0.0, began_s + nth / PER_S - time.monotonic()))

    def _cancel_some(self, ids: list[UUID]) -> None:
        if self._chance.random() >= CANCELLED_SHARE:
            return
        with psycopg.connect(self._tour.services["tours"].dsn) as connection:
            for id_ in ids:
                operate.give_up(connection, office, id_, "operator", "the customer called")
            connection.commit()
        self._cancelled += 1

    def _kill(self, name: str, *, restart: bool = False) -> None:
        victims: list[subprocess.Popen[bytes]] = [
            process
            for process in self._tour.running
            if self._tour.named[process.pid] == name and process.poll() is None
        ]
        victims[0].send_signal(signal.SIGKILL)
        victims[0].wait()
        if restart:
            PAUSE.wait(1)
            self._tour.start(name)

    def _lose_connect(self) -> None:
        self._stack.part("connect").kill()
        self._stack.part("connect").start()

    def _line(self) -> str:
        with self._tour.connect("tours") as connection:
            return ", ".join(f"{n} {status}" for status, n in _counts(connection).items())

    def _until_over(self, within_s: float) -> None:
        until_s = time.monotonic() + within_s
        while left := self._tour.live():
            if time.monotonic() > until_s:
                raise Problem(
                    "TR-DEM-004",
                    f"{left} tours were not over after {within_s:.0f} s; the services' logs are in"
                    f" {self._folder / 'services'}.",
                )
            PAUSE.wait(LOOK_EVERY_S)

    def _outcome(self) -> Outcome:
        with self._tour.connect("tours") as connection:
            counts = _counts(connection)
            rows = connection.execute(STATEMENTS["latency"]).fetchall()
            lines = log.length(connection)
        latency = [Latency(*row) for row in rows]
        return Outcome(counts, latency, lines, self._cancelled, prove(self._tour))


def _counts(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(STATEMENTS["counts"]).fetchall())
