"""What a command shows while it works: on stderr, moving on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, str], None]
"""Told (who, what it does now); may be called from several threads."""

_PLAIN_EVERY_S = 2
_LAST_WORDS = {"running", "stopped"}  # after which its clock stands still


@contextmanager
def shown() -> Iterator[Listener]:
    """A listener that shows one line for each who."""
    if sys.stderr.isatty():
        with _moving() as listener:
            yield listener
    else:
        yield _plain()


@contextmanager
def _moving() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.fields[who]:<16}{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        rows = {}

        def listener(who: str, what: str) -> None:
            if who not in rows:
                rows[who] = progress.add_task(what, who=who, total=None)
            done = 1 if what in _LAST_WORDS else None
            progress.update(rows[who], description=what, total=done, completed=done)

        yield listener


def _plain() -> Listener:
    """One line for each thing told, but for a quick series from the same one every 2 s."""
    last: dict[str, tuple[str, float]] = {}

    def listener(who: str, what: str) -> None:
        kind = what.split(maxsplit=1)[0]
        told, at_s = last.get(who, ("", 0.0))
        if kind != told or time.monotonic() - at_s > _PLAIN_EVERY_S:
            last[who] = (kind, time.monotonic())
            sys.stderr.write(f"{who}: {what}\n")

    return listener
