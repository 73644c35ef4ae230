"""`tailrace top` on a terminal of its own: keys act, and the terminal is as it was afterwards."""

import codecs
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

FILE = """
pipeline: {name}
source:
  dsn: postgresql://nobody@127.0.0.1:1/none
  tables: [public.t]
  placeholder: unchanged-0123456789ab
  password_reference: ${{env:NONE}}
connect: {{url: "http://127.0.0.1:1"}}
kafka: {{bootstrap: "127.0.0.1:1"}}
redis: {{url: "redis://127.0.0.1:1/0"}}
sinks: {{mirror: {{type: postgres, dsn: "postgresql://nobody@127.0.0.1:1/none"}}}}
health: {{port: 1}}
"""
SIZE = ("COLUMNS", "LINES")  # whoever runs the tests may say them; a terminal knows its own


class Terminal:
    """A process on a terminal of 40 lines; `seen` is what it wrote since the last `press`."""

    def __init__(self, *words: str) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (40, 140))
        self.before = termios.tcgetattr(self.theirs)
        # A job in the background ignores it, and would hand that down.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", "top", *words],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={n: v for n, v in os.environ.items() if n not in SIZE} | {"TERM": "xterm"},
        )
        self.seen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")(
            "replace"
        ).decode  # reads may cut a sign

    def press(self, keys: str) -> None:
        self.seen = ""
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> None:
        while text not in self.seen:
            assert select.select([self._ours], [], [], 30)[0], (
                f"no {text!r} in: {self.seen[-2000:]}"
            )
            self.seen += self._decode(os.read(self._ours, 1 << 16))

    def end(self) -> int:
        """The exit code; what it still writes is read, lest it waits for a reader."""
        while self.process.poll() is None:
            if select.select([self._ours], [], [], 0.1)[0]:
                os.read(self._ours, 1 << 16)
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.end()
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    for name in ("alpha", "beta"):
        (tmp_path / f"{name}.yaml").write_text(FILE.format(name=name))
    opened = Terminal("--config", str(tmp_path))
    yield opened
    opened.close()


def test_keys_act_and_q_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.until("UNKNOWN")
    terminal.until("state ▼")
    terminal.press("s")
    terminal.until("lag ▼")
    terminal.press("r")
    terminal.until("lag ▲")
    terminal.press("p")
    terminal.until("paused")
    terminal.press("fbet")
    terminal.until("filter: bet_")
    assert "alpha" not in terminal.seen[terminal.seen.rindex("2 pipelines") :]
    terminal.press("\x1b")
    terminal.until("alpha")
    assert termios.tcgetattr(terminal.theirs) != terminal.before
    terminal.press("q")
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Terminal, number: int) -> None:
    terminal.until("UNKNOWN")
    terminal.process.send_signal(number)
    assert terminal.end() != 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before
