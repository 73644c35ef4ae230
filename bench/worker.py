"""
The worker under measurement, in a process of its own: `python -m bench.worker FILE SINK [EVENTS]`.

It is the one that `tailrace run` starts, with a stop watch. With EVENTS it ends once as many have
been acknowledged; at its end it writes what it measured to stdout as a line of JSON.
"""

import json
import signal
import sys
import time
from pathlib import Path

from consumer.facts import Applied, Assigned, Fact
from tailrace import journal, process
from tailrace.config import load


class Timed(process.Worker):
    """Timed from the moment it owns its partition until its last row is durable."""

    began_s = ended_s = 0.0
    began_cpu_s = ended_cpu_s = 0.0
    wanted = sys.maxsize
    received = 0

    def _observe(self, fact: Fact) -> None:
        super()._observe(fact)
        if isinstance(fact, Assigned) and fact.partitions:
            self.began_s, self.began_cpu_s = time.monotonic(), time.process_time()
        elif isinstance(fact, Applied):
            self.received += fact.counts.records
            self.ended_s, self.ended_cpu_s = fact.applied_at_s, time.process_time()
            if self.received >= self.wanted:
                self.wanted = sys.maxsize  # a second signal would not wait for the batch in hand
                signal.raise_signal(signal.SIGTERM)


def main(file: str, sink: str, wanted: str = "") -> None:
    """Runs the worker; see above."""
    pipeline = load(Path(file), env={})
    journal.configure(pipeline.log)
    worker = Timed(pipeline, sink)
    if wanted:
        worker.wanted = int(wanted)
    worker.run(instance=None, reached=lambda step: None)
    measured = {
        "events": worker.received,
        "seconds": worker.ended_s - worker.began_s,
        "cpu_s": worker.ended_cpu_s - worker.began_cpu_s,
        "peak_mib": peak_mib(),
        "ended": worker.status().ended,
    }
    sys.stdout.write(json.dumps(measured) + "\n")


def peak_mib() -> float:
    """The most memory that this process ever had resident (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    peak_kib = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(peak_kib) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
