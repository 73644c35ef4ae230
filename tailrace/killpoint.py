"""
Test-only: dies by SIGKILL at a numbered step, as if the machine had lost power there.

`TAILRACE_TEST_KILL_AT="before commit:3"` is the third time that the step is reached; with `:STOP`
behind it the process stops there until it is woken, as if the machine had hung.
"""

import signal
from collections.abc import Mapping

from tailrace.wiring import Reached

VARIABLE = "TAILRACE_TEST_KILL_AT"
STEPS = (
    "polled",
    "advanced",
    "copied",
    "staged",
    "upserted",
    "before commit",
    "after commit",
    "acknowledged",
)
"""Of a worker with our own sink, in their order."""


def from_environment(environment: Mapping[str, str]) -> Reached:
    """What a worker calls at each step: nothing, unless the variable names one."""
    step, _, rest = environment.get(VARIABLE, "").partition(":")
    if not step:
        return lambda reached: None
    nth, _, how = rest.partition(":")
    left = int(nth or 1)

    def at(reached: str) -> None:
        nonlocal left
        if reached == step:
            left -= 1
            if left == 0:
                # to this very thread, which so comes no further
                signal.raise_signal(signal.SIGSTOP if how == "STOP" else signal.SIGKILL)

    return at
