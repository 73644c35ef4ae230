"""Two orchestrators share the sagas: one dies or hangs under load, the other does it all, once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
import pytest

from consumer.event import TopicPartition
from consumer.kafka import Limits
from devstack.stack import AnyStack
from examples.tour.load import requests
from tailrace.exits import TRY_AGAIN
from tailrace.harness.waits import eventually
from tailrace.killpoint import VARIABLE
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove
from tests.tour_owners import At, marks, owners
from tests.tour_people import digests

TAKEOVER_S = Limits().takeover_ms / 1000
SLOW_S = 10.0
"""What it may take beyond that on a machine that has much else to do."""
WITHIN_S = 200
EVERY_S = 0.1
REFUSED = {"polled": "partition(s) of sink", "before commit": "idle-in-transaction"}
"""Where a process hangs, and what it is told when it wakes up."""


@pytest.fixture(scope="module")
def tour(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    folder = tmp_path_factory.mktemp("tour")
    made = Tour(stack.up(), folder, lambda *_: None, f"two{uuid4().hex[:6]}_", partitions=2)
    made.prepare()
    for name in SERVICES:
        made.start(name)
    yield made
    made.close()


@contextmanager
def load(tour: Tour) -> Iterator[None]:
    """Tours begin all the time, in both styles."""
    over = threading.Event()

    def book() -> None:
        asked = ((uuid4(), request) for _, request in requests(seed=5, refused_share=0.2))
        while not over.wait(EVERY_S):
            tour.begin(1, "orchestrated", asked)
            tour.begin(1, "choreographed", asked)

    thread = threading.Thread(target=book)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def shared_with(tour: Tour, name: str) -> set[TopicPartition]:
    """What this instance has, once `one` has as much."""

    def found() -> set[TopicPartition] | None:
        there = owners(tour)
        return there[name] if len(there[name]) == len(there["one"]) else None

    return eventually(found, WITHIN_S, f"{name} has its share; logs in {tour.folder}")


def await_over(tour: Tour) -> None:
    eventually(lambda: tour.live() == 0, WITHIN_S, f"no saga under way; logs in {tour.folder}")
    eventually(lambda: prove(tour) == [], WITHIN_S, "all is heard", every_s=1)
    assert prove(tour) == []


@pytest.mark.timeout(600)
def test_one_is_killed_and_the_other_takes_over(tour: Tour) -> None:
    victim = tour.start("tours", instance="two")
    its = shared_with(tour, "two")
    with load(tour):
        before = marks(tour)
        eventually(lambda: moved(tour, its, before), WITHIN_S, "both work")
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        await_takeover(tour, its, "killed orchestrator")
    await_over(tour)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", REFUSED)
def test_a_zombie_writes_nothing(tour: Tour, step: str) -> None:
    """It hangs with answers in hand, wakes up when others have done all, and wants to go on."""
    name = f"zombie-{step[:6]}"
    zombie = tour.start("tours", instance=name, **{VARIABLE: f"{step}:3:STOP"})
    its = shared_with(tour, name)
    with load(tour):
        process = psutil.Process(zombie.pid)
        eventually(lambda: process.status() == psutil.STATUS_STOPPED, WITHIN_S, "it hangs")
        await_takeover(tour, its, f"orchestrator that hangs at {step!r}")
    await_over(tour)
    before, heard = digests(tour), offsets(tour)
    log = tour.folder / "tours.log"
    logged = len(log.read_text())
    os.kill(zombie.pid, signal.SIGCONT)
    eventually(lambda: REFUSED[step] in log.read_text()[logged:], WITHIN_S, f"it is fenced: {log}")
    eventually(lambda: zombie.poll() is not None or owners(tour)[name], WITHIN_S, "it begins anew")
    assert (digests(tour), offsets(tour)) == (before, heard)
    assert zombie.poll() == TRY_AGAIN or step == "before commit", log
    zombie.kill()
    zombie.wait()


def await_takeover(tour: Tour, its: set[TopicPartition], who: str) -> None:
    """Answers are heard again in all partitions that were its, by somebody of a higher epoch."""
    began_s, then = time.monotonic(), marks(tour)
    eventually(lambda: moved(tour, its, then), WITHIN_S, f"{its} move; {tour.folder}")
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"answers to the {who} were heard again after {took_s:.1f} s\n")
    assert all(marks(tour)[at].epoch > then[at].epoch for at in its)
    assert took_s < TAKEOVER_S + SLOW_S


def moved(tour: Tour, its: set[TopicPartition], since: dict[TopicPartition, At]) -> bool:
    """Whether an answer was heard in each of these partitions."""
    now = marks(tour)
    return all(now[at].next_offset > since[at].next_offset for at in its)


def offsets(tour: Tour) -> dict[TopicPartition, int]:
    return {at: mark.next_offset for at, mark in marks(tour).items()}
