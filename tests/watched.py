"""A pipeline as the sampler sees it, look by look, with what must hold at each of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from tailrace.config import load
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import PAUSE
from tailrace.watch import view
from tailrace.watch.sampler import Sampler
from tailrace.watch.servers import Watched as One
from tailrace.watch.states import Verdict

INTERVAL_S = 0.5
ALLOWED_LAG_S = 1.0
SIGNED = {"ahead_s"}  # every other number counts or measures something

Of = Literal["pipeline", "source", "sink"]


def with_limit(pipe: Cdc) -> int:
    """Give lateness a limit that a test can wait for; returns the port where the daemon answers."""
    text = f"dashboard: {{allowed_lag_s: {ALLOWED_LAG_S}}}\n"
    pipe.file.write_text(pipe.file.read_text() + text)
    return load(pipe.file, env={}).health.port


class Watched:
    """`now` is the newest look; `seen` the verdicts of all, in words."""

    def __init__(self, pipe: Cdc, changes: Mapping[str, object]) -> None:
        """`changes`: of the pipeline's file, by dotted key."""
        pipeline = load(pipe.file, changes, env={})
        self.sampler = Sampler([One(pipeline, pipe.spec)], INTERVAL_S)
        self.seen: list[str] = []
        self.now = self.sampler.look().pipelines[0]

    def look(self) -> view.Pipeline:
        """The next one; no figure of it is below zero."""
        PAUSE.wait(INTERVAL_S)
        self.now = self.sampler.look().pipelines[0]
        low = [found for found in _negative(msgspec.to_builtins(self.now)) if found]
        assert low == []
        parts = {"source": self.now.source.verdict, "sink": self.now.sinks[0].verdict}
        self.seen.append("; ".join(f"{of} {v.state}: {v.reason}" for of, v in parts.items()))
        return self.now

    def verdict(self, of: Of = "pipeline") -> Verdict:
        if of == "pipeline":
            return self.now.verdict
        return self.now.source.verdict if of == "source" else self.now.sinks[0].verdict

    def until(self, state: str, of: Of = "pipeline", because: str = "", looks: int = 90) -> Verdict:
        """The verdict at the first look at which it is that, for a reason with those words."""

        def is_so() -> bool:
            verdict = self.verdict(of)
            return verdict.state == state and because in verdict.reason

        return self.until_true(is_so, f"{of} {state} ({because})", of, looks)

    def until_todo(self, state: str, todo: str, of: Of = "pipeline", looks: int = 90) -> Verdict:
        """The first verdict of this state that says to do that."""

        def is_so() -> bool:
            verdict = self.verdict(of)
            return verdict.state == state and verdict.todo == todo

        return self.until_true(is_so, f"{of} {state}, {todo}", of, looks)

    def until_wrong(self, of: Of = "pipeline", looks: int = 20) -> Verdict:
        """The first one that somebody should look at."""
        return self.until_true(lambda: self.verdict(of).state.is_wrong, f"{of} wrong", of, looks)

    def until_true(self, fact: Callable[[], bool], what: str, of: Of, looks: int) -> Verdict:
        for _ in range(looks):
            self.look()
            if fact():
                return self.verdict(of)
        shown = "\n".join(self.seen[-12:])
        raise AssertionError(f"not in {looks} looks: {what}\n{shown}")

    def steady(self, *states: str, of: Of = "pipeline", looks: int = 6) -> None:
        """It stays among these states: it does not flicker."""
        for _ in range(looks):
            self.look()
            assert self.verdict(of).state in states, "\n".join(self.seen[-12:])


@contextmanager
def watched(pipe: Cdc, changes: Mapping[str, object] | None = None) -> Iterator[Watched]:
    """Looks until the block ends."""
    opened = Watched(pipe, changes or {})
    try:
        yield opened
    finally:
        opened.sampler.stop()


def _negative(value: Any, where: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in SIGNED:
                yield from _negative(each, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _negative(each, f"{where}[{number}]")
    elif isinstance(value, int | float) and value < 0:
        yield f"{where} = {value}"
