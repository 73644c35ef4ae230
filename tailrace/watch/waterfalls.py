"""The stages of a typical change, put right for clocks that differ. Pure."""

from collections.abc import Iterable

from consumer.metrics import STAGES
from consumer.metrics import Waterfall as Raw
from tailrace.watch.view import Stage, Waterfall

CLOCKS = ("source", "connect", "connect", "worker", "worker", "worker", "worker")
"""Whose clock showed the begin of the first stage, and then the end of each."""


def corrected(raw: Raw, ahead_s: dict[str, float]) -> Waterfall:
    """
    `ahead_s`: clocks known to be wrong, by the names in CLOCKS; workers speak in our times already
    (`skew.on_our_clock`). No stage is below zero.
    """
    stages = []
    for number, (name, seconds) in enumerate(zip(STAGES, raw.stages_s, strict=True)):
        began, ended = (ahead_s.get(CLOCKS[number + i], 0.0) for i in (0, 1))
        stages.append(Stage(name, max(0.0, seconds - ended + began)))
    slowest = max(stages, key=lambda stage: stage.seconds)
    visible_s = sum(stage.seconds for stage in stages[:-1])
    return Waterfall(tuple(stages), visible_s, slowest.name, raw.samples)


def fullest(found: Iterable[Raw | None]) -> Raw | None:
    """Of several workers the one that has seen most."""
    return max((raw for raw in found if raw is not None), key=lambda raw: raw.samples, default=None)
