"""Single keys from a terminal, which is as it was before when that ends, however it ends."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Read = Callable[[float], str]
"""How long to wait for keys -> those that were pressed; none after that time."""


@contextmanager
def keys(descriptor: int) -> Iterator[Read]:
    """Keys of the terminal; where it is none, nobody presses any. SIGTERM ends the block, too."""
    if not os.isatty(descriptor):
        yield _nobody
        return
    before = termios.tcgetattr(descriptor)
    handled = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        yield lambda within_s: _read(descriptor, within_s)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        signal.signal(signal.SIGTERM, handled)


def _read(descriptor: int, within_s: float) -> str:
    if not select.select([descriptor], [], [], max(0.0, within_s))[0]:
        return ""
    found = os.read(descriptor, 1024).decode(errors="ignore")
    # An arrow or another key that sends several characters is none that we know.
    return "" if found.startswith("\x1b[") else found


def _nobody(within_s: float) -> str:
    time.sleep(max(0.0, within_s))
    return ""
