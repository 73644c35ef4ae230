"""
How far a server's clock is ahead of ours, from answers that carry its time. Pure.

An answer that says "12:00:07" was given between our question and its arrival, when that clock
showed some time in [12:00:07, 12:00:08). Each answer bounds the difference; many bound it well.
"""

from collections import deque

import msgspec

from consumer.metrics import Status
from tailrace.watch.view import Skew

ANSWERS = 60  # that a bound rests on: clocks drift, so old answers must go
WORTH_SHOWING_S = 0.25


class Clock:
    """One server's clock, by the name people know it under."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bounds: deque[tuple[float, float]] = deque(maxlen=ANSWERS)

    def heard(self, asked_at_s: float, answered_at_s: float, shown_s: float, tick_s: float) -> None:
        """`shown_s` is what the clock said, cut to whole `tick_s`."""
        bound = (shown_s - answered_at_s, shown_s + tick_s - asked_at_s)
        low, high = self._common()
        if max(low, bound[0]) > min(high, bound[1]):
            self._bounds.clear()  # it was set: what it said before means nothing now
        self._bounds.append(bound)

    @property
    def skew(self) -> Skew | None:
        """None before the first answer."""
        if not self._bounds:
            return None
        low, high = self._common()
        return Skew(self._name, (low + high) / 2, (high - low) / 2)

    def _common(self) -> tuple[float, float]:
        lows = [low for low, _ in self._bounds]
        highs = [high for _, high in self._bounds]
        return max(lows, default=float("-inf")), min(highs, default=float("inf"))


def worth_showing(skew: Skew | None) -> bool:
    """Whether it cannot be explained by how coarsely it was measured."""
    return skew is not None and abs(skew.ahead_s) - skew.within_s > WORTH_SHOWING_S


def clock_of(where: str) -> str:
    """The name of the clock of the workers at this address."""
    return f"workers at {where}"


def on_our_clock(status: Status, ahead_s: float) -> Status:
    """What a worker says whose clock is so far ahead, in our times."""
    if not ahead_s:
        return status
    way = status.waterfall
    if way is not None:  # its clock begins with the end of the third stage
        decode, append, wait, *others = way.stages_s
        way = msgspec.structs.replace(way, stages_s=(decode, append, wait - ahead_s, *others))
    return msgspec.structs.replace(
        status,
        started_at_s=status.started_at_s - ahead_s,
        ticked_at_s=status.ticked_at_s - ahead_s if status.ticked_at_s else 0.0,
        waterfall=way,
    )
