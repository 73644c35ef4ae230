"""How long after its commit at the source a row is visible to somebody who reads the target."""

import os
import threading
import time
from dataclasses import dataclass

import psycopg

from bench.chain import Chain
from bench.lab import STATEMENTS, WITHIN_S

LOOK_EVERY_S = 0.0005
WARM_UP_S = 2.0


@dataclass
class Latency:
    """Milliseconds, by nearest rank; `rate` is what the source really committed a second."""

    rate: float
    samples: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    load: float


def measure(chain: Chain, rate: int, seconds: float) -> Latency:
    """
    Transactions of one row at an even pace, from the moment the source acknowledged each.

    Two seconds before are left out.
    """
    chain.lab.tell("latency", f"{rate} transactions/s for {seconds:.0f} s")
    first = chain.rows
    committed_s: list[float] = []
    reader = _Reader(chain, first - 1)
    reader.start()
    try:
        _write(chain, rate, WARM_UP_S + seconds, committed_s)
        chain.await_all("latency")
    finally:
        reader.stop(chain.rows - 1)
    left_out = sum(at < committed_s[0] + WARM_UP_S for at in committed_s) if rate > 1 else 0
    visible_s = reader.visible_s(first, chain.rows)
    waits_ms = [
        (seen - committed) * 1000 for seen, committed in zip(visible_s, committed_s, strict=True)
    ][left_out:]
    took_s = committed_s[-1] - committed_s[left_out]
    ordered = sorted(waits_ms)
    last = len(ordered) - 1
    return Latency(
        rate=last / took_s if took_s else float(rate),
        samples=len(ordered),
        p50_ms=ordered[last // 2],
        p95_ms=ordered[round(last * 0.95)],
        p99_ms=ordered[round(last * 0.99)],
        load=os.getloadavg()[0],
    )


def _write(chain: Chain, rate: int, seconds: float, committed_s: list[float]) -> None:
    """One connection; when the source is slower than the pace, as fast as it goes."""
    began_s = time.monotonic()
    for number in range(max(2, int(rate * seconds))):
        if (early_s := began_s + number / rate - time.monotonic()) > 0:
            time.sleep(early_s)
        chain.at.source.execute(STATEMENTS["insert_rows"], [chain.rows, chain.rows], prepare=True)
        committed_s.append(time.monotonic())
        chain.rows += 1


class _Reader(threading.Thread):
    """Looks at the newest row of the target about every millisecond."""

    def __init__(self, chain: Chain, row: int) -> None:
        super().__init__(name="reader", daemon=True)
        self._dsn = chain.lab.target
        self._steps = [(0.0, row)]
        self._last = float("inf")
        self._failed: psycopg.Error | None = None

    def run(self) -> None:
        try:
            self._look()
        except psycopg.Error as error:
            self._failed = error

    def _look(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = self._steps[0][1]
            while row < self._last:
                found = connection.execute(STATEMENTS["reached"], prepare=True).fetchone()
                now_s = time.monotonic()
                if found and found[0] > row:
                    row = found[0]
                    self._steps.append((now_s, row))
                time.sleep(LOOK_EVERY_S)

    def stop(self, last: int) -> None:
        """Once it has seen the row `last`."""
        self._last = last
        self.join(WITHIN_S)
        if self._failed is not None:
            raise self._failed

    def visible_s(self, first: int, stop: int) -> list[float]:
        """For each row, when it was seen."""
        seen: list[float] = []
        for at_s, row in self._steps:
            seen += [at_s] * (min(row + 1, stop) - first - len(seen))
        return seen
