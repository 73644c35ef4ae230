"""
How long `tailrace --help` takes, and that of every command: `python -m bench.startup [TIMES]`.

Each is started so often, one after the other in turn, beside `python -c pass`, which is the floor;
what counts is the median. CPU time is told too: it suffers less from a machine that is busy.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from bench.machine import describe
from tailrace.cli import COMMANDS

TIMES = 20
GOAL_MS = 150


def main() -> None:
    """Print a line of JSON with milliseconds, slowest last."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    words = {"floor": ["-c", "pass"], "--help": ["-m", "tailrace", "--help"]}
    words |= {f"{name} --help": ["-m", "tailrace", name, "--help"] for name in COMMANDS}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in words}
    for _ in range(times):
        for name, arguments in words.items():
            taken[name].append(once(arguments))
    found = {name: medians(each) for name, each in taken.items()}
    ordered = dict(sorted(found.items(), key=lambda item: item[1]["wall_ms"]))
    slow = [name for name, each in ordered.items() if each["wall_ms"] >= GOAL_MS]
    result = {"machine": describe(), "times": times, "medians": ordered, "over_goal": slow}
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def once(arguments: list[str]) -> tuple[float, float]:
    """Milliseconds of wall clock and of CPU of one start. Raises CalledProcessError."""
    began_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began_s) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return wall_ms, (used.ru_utime + used.ru_stime) * 1000


def medians(each: list[tuple[float, float]]) -> dict[str, float]:
    """Of wall clock and CPU."""
    wall, cpu = zip(*each, strict=True)
    return {
        "wall_ms": round(statistics.median(wall), 1),
        "cpu_ms": round(statistics.median(cpu), 1),
    }


if __name__ == "__main__":
    main()
