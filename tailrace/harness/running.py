"""A worker or daemon as a process of its own, whose log is kept."""

import signal
import subprocess
from pathlib import Path

from tailrace.harness.waits import Late


class Running:
    """One process of the pipeline under test."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a power cut would do; returns when it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, then its exit code. Raises Late if it does not end within `within_s`."""
        if self.is_alive:
            self.process.send_signal(signal.SIGTERM)
        return self._wait(within_s, "did not end after SIGTERM")

    def wait_killed(self, within_s: float = 60.0) -> None:
        """Until it died by SIGKILL. Raises AssertionError if it ended in another way."""
        code = self._wait(within_s, "was not killed: it did not come to the step so often")
        assert code == -signal.SIGKILL, f"ended with {code}, not by SIGKILL:\n{self.tail()}"

    def text(self) -> str:
        """All that it wrote to stdout and stderr."""
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 30) -> str:
        """The last lines of it."""
        return "\n".join(self.text().splitlines()[-lines:])

    def _wait(self, within_s: float, otherwise: str) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Late(f"{otherwise} within {within_s:.0f} s:\n{self.tail()}") from None
