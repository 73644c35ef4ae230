"""Each guard broken on purpose, in a run of its own: the test of its name has to notice."""

import os
import subprocess
import sys

import pytest

from devstack import Stack
from tests.guards import SWITCHES, VARIABLE

SINK = "tests/contracts/test_sinks.py::TestPostgresSink::"
NOTICED_BY = {
    "offset-row": SINK + "test_a_gap_in_the_offsets_is_fenced",
    "row-guard": SINK + "test_a_repeat_at_new_offsets_is_stale",
    "tombstones": SINK + "test_a_deleted_row_does_not_come_back_by_a_repeat",
    "remember-after-apply": "tests/unit/test_worker.py::test_any_crash_at_any_call",
}


@pytest.mark.parametrize("guard", SWITCHES)
def test_a_broken_guard_is_noticed(stack: Stack, guard: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    broken = subprocess.run(
        [*command, NOTICED_BY[guard]],
        env=os.environ | {VARIABLE: guard},
        capture_output=True,
        text=True,
    )
    assert broken.returncode == 1, broken.stdout[-2000:] + broken.stderr[-2000:]
    assert "1 failed" in broken.stdout
