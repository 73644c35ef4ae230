"""One measured run, and what it cost the servers."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.lab import Lab
from bench.machine import machine_cpu_s, own_cpu_s, servers_cpu_s


@dataclass
class Run:
    """
    CPU in microseconds an event by process, log of the target in bytes an event. `others_cores`:
    how many cores were busy with what is no part of the bench.
    """

    what: str
    events: int = 0
    seconds: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)
    wal_bytes: float = 0.0
    peak_mib: float | None = None
    load: float = 0.0
    others_cores: float = 0.0

    @property
    def per_s(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds else 0.0


@contextmanager
def watched(lab: Lab, what: str) -> Iterator[Run]:
    """Adds to the run what its servers used, the log its target wrote, the machine's load."""
    run = Run(what)
    began_s, busy_s, own_s = time.monotonic(), machine_cpu_s(), own_cpu_s()
    before, wal = servers_cpu_s(lab.stack), lab.target_value("wal_bytes")
    yield run
    after, written = servers_cpu_s(lab.stack), lab.target_value("wal_bytes") - wal
    used_s = sum(after.values()) - sum(before.values()) + own_cpu_s() - own_s
    took_s = time.monotonic() - began_s
    run.others_cores = max(0.0, (machine_cpu_s() - busy_s - used_s) / took_s)
    run.load = os.getloadavg()[0]
    if run.events:
        run.wal_bytes = written / run.events
        run.cpu_us |= {name: (after[name] - before[name]) / run.events * 1e6 for name in before}
    lab.tell(what, f"{run.per_s:,.0f} events/s")
