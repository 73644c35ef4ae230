"""
Test-only switches that break one guard each: `TAILRACE_TEST_WITHOUT=row-guard pytest …`.

A guard that no test misses is untested: tests/contracts/test_guards.py throws each switch and
expects the test of its name to fail. Nothing of this is in the product.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import Phase, settings

import sinks.target
from consumer.worker import Worker

VARIABLE = "TAILRACE_TEST_WITHOUT"


def _rewrite(statement: str, old: str, new: str) -> None:
    text = sinks.target.STATEMENTS[statement]
    assert old in text, f"{statement} has changed; the switch has to follow"
    sinks.target.STATEMENTS[statement] = text.replace(old, new)  # type: ignore[index]


def _without_offset_row() -> None:
    _rewrite("advance", "AND o.next_offset = n.start AND o.epoch = n.epoch", "")


def _without_row_guard() -> None:
    _rewrite("upsert", "WHERE (t._cdc_gen", "WHERE true OR (t._cdc_gen")
    _rewrite("upsert", "AND {not_stale}", "")


def _without_tombstones() -> None:
    _rewrite("bury", "FROM {stage}", "FROM {stage} WHERE false")


def _remember_before_apply() -> None:
    read = Worker._read

    def remembering(self: Worker) -> Any:
        work = read(self)
        if work is not None:
            self.dedup.remember(work.batch)
        return work

    Worker._read = remembering  # type: ignore[method-assign]


SWITCHES: dict[str, Callable[[], None]] = {
    "offset-row": _without_offset_row,
    "row-guard": _without_row_guard,
    "tombstones": _without_tombstones,
    "remember-after-apply": _remember_before_apply,
}


def throw() -> None:
    """Called once before any test runs."""
    if name := os.environ.get(VARIABLE):
        SWITCHES[name]()
        # The first failure is enough; making it small takes minutes.
        settings.register_profile("first failure", phases=[Phase.generate])
        settings.load_profile("first failure")
