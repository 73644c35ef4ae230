"""Waiting on facts, never on time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 60.0
PAUSE = threading.Event()  # never set: a wait that a fact ends early has nothing else to wait on


class Late(AssertionError):
    """Something did not come true in time; the message says what, and what was true instead."""


def eventually(
    fact: Callable[[], T | None],
    within_s: float = WITHIN_S,
    what: str = "",
    *,
    every_s: float = 0.05,
) -> T:
    """
    The first true value of `fact`, asked every `every_s`. An AssertionError means: not yet.

    After `within_s` it raises the last AssertionError of `fact` again, or Late if there was none.
    A fact that only asserts has to end with `return True`.
    """
    until_s = time.monotonic() + within_s
    while True:
        last: AssertionError | None = None
        value = None
        try:
            if value := fact():
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > until_s:
            if last is not None:
                raise last
            raise Late(f"not within {within_s:.0f} s: {what or _unnamed(fact, value)}")
        PAUSE.wait(every_s)


def _unnamed(fact: object, value: object) -> str:
    name = getattr(fact, "__qualname__", repr(fact))
    hint = "; a fact has to return something true once it holds" if value is None else ""
    return f"{name} returned {value!r}{hint}"
