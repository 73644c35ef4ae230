"""
Time for sagas: what is overdue is sent again, and a deadline is a message like any other.

Every orchestrator's process looks; who looks first locks a row, and the others skip it.
"""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from consumer.retry import Backoff
from eventstore.subscriber import place
from eventstore.subscriber_sink import SESSION
from sagas import forget, instances, protocol
from sagas.instances import Instance
from sagas.orchestrator import Orchestrator
from sagas.protocol import GiveUp, TimedOut
from sagas.turn import Turn

LOOK_EVERY_S = 0.2
AT_ONCE = 200
FORGET_EVERY_S = 3600.0


class Timers:
    """A thread with a connection of its own, until `close`."""

    def __init__(self, dsn: str, orchestrator: Orchestrator) -> None:
        self._dsn = dsn
        self._orchestrator = orchestrator
        self._stop = threading.Event()
        self._forget_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="saga timers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        backoff, failures = Backoff(), 0
        while not self._stop.is_set():
            try:
                self._look_on()
                failures = 0
            except Exception as error:  # without this thread sagas would wait for ever
                failures += 1
                why = place(error, look)
                structlog.get_logger().warning("timers wait", why=why, failures=failures)
                self._stop.wait(backoff.delay_s(failures))

    def _look_on(self) -> None:
        with psycopg.connect(
            self._dsn,
            options=SESSION,
            connect_timeout=5,
            application_name="tailrace saga timers",
        ) as connection:
            while not self._stop.is_set():
                is_quiet = look(connection, self._orchestrator) < AT_ONCE
                if time.monotonic() >= self._forget_at_s:
                    self._forget_at_s = time.monotonic() + FORGET_EVERY_S
                    if forget_some(connection, self._orchestrator) == forget.SAGAS_AT_ONCE:
                        self._forget_at_s = 0.0
                if is_quiet:
                    self._stop.wait(LOOK_EVERY_S)


def look(connection: psycopg.Connection[Any], orchestrator: Orchestrator) -> int:
    """One transaction: how many sagas were due."""
    now = datetime.now(UTC)
    with connection.transaction():
        there = instances.due(connection, now, list(orchestrator.sagas), AT_ONCE)
        turn = Turn(orchestrator.sagas, orchestrator.name, now)
        for one in there.values():
            ring(turn, one, now)
            turn.look_later(one)
        turn.write(connection)
    return len(there)


def forget_some(connection: psycopg.Connection[Any], orchestrator: Orchestrator) -> int:
    """One transaction: how many sagas are no longer there, as they have been over for so long."""
    if orchestrator.keep_days is None:
        return 0
    types = list(orchestrator.sagas)
    with connection.transaction():
        return forget.some(connection, orchestrator.name, types, orchestrator.keep_days)


def ring(turn: Turn, one: Instance, now: datetime) -> None:
    """All of a saga's timers that are due."""
    late = [
        (i, row.tries)
        for i, planned in enumerate(one.plan.steps)
        if (row := one.steps[planned.name]).due is not None and row.due <= now
    ]
    if one.deadline_at <= now and protocol.may_give_up(one.plan, one.saga):
        turn.act(one, GiveUp(), "deadline", f"it was not through within {one.plan.deadline_s:g} s")
    for i, tries in late:
        turn.act(one, TimedOut(i, tries), "timer", f"no answer to try {tries}")
