"""What a worker's log says: changes of state, never rows, and nothing for a normal batch."""

import logging
import sys
from typing import Any

import structlog

from consumer.facts import Assigned, Degraded, Fact, Held, Parked
from consumer.metrics import Status
from tailrace.config import Log

NORMAL_HOLDS = 1  # the first wait is worth a line, then each that doubled


def configure(log: Log) -> None:
    """Lines for people or JSON for machines, on stderr."""
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if log.format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, log.level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # kafka-python speaks through the standard library, and much: only what goes wrong.
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)


class Journal:
    """An observer that writes a worker's log."""

    def __init__(self, sink: str, worker: int) -> None:
        self._log = structlog.get_logger().bind(sink=sink, worker=worker)
        self._held_because: str | None = None

    def __call__(self, fact: Fact) -> None:
        match fact:
            case Assigned(partitions):
                names = ", ".join(sorted(f"{at.topic}[{at.partition}]" for at in partitions))
                self._log.info("assigned", partitions=names or "none")
            case Held(reason, delay_s, attempt):
                if reason != self._held_because or attempt & (attempt - 1) == 0:
                    self._log.warning("waiting", because=reason, attempt=attempt, delay_s=delay_s)
                self._held_because = reason
            case Parked(letters):
                first = letters[0]
                self._log.warning(
                    "parked",
                    records=len(letters),
                    because=first.reason,
                    at=f"{first.record.at.topic}[{first.record.at.partition}]",
                    offset=first.record.offset,
                )
            case Degraded(None):
                self._log.info("idempotency keys are back")
            case Degraded(reason):
                self._log.warning("idempotency keys are away; the sink's guards go on", why=reason)
            case _:
                pass

    def drained(self, status: Status) -> None:
        self._log.info("drained", received=status.received, **status.ended)

    def left(self, what: str) -> None:
        self._log.warning("stopped", left=what)
