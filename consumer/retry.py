"""How long to wait before the same batch is tried again. Pure: the caller sleeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `first_s` to `longest_s`, and stays there: a sink may be away for days."""

    first_s: float = 0.1
    longest_s: float = 10.0

    def delay_s(self, attempt: int) -> float:
        """`attempt` counts from 1."""
        return min(self.first_s * 2.0 ** min(attempt - 1, 30), self.longest_s)
