"""What a person sees of a running demo: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consumer.metrics import Status
from tailrace.demo import Sample, Story

PLAIN_EVERY_S = 2.0


class View(Protocol):
    """Who is shown each sample of a running demo."""

    def __call__(self, sample: Sample, story: Story) -> None: ...


@contextmanager
def opened() -> Iterator[View]:
    """A moving picture on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield Plain()
        return
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=False) as live:
        rates = Rates()
        yield lambda sample, story: live.update(picture(sample, story, rates.of(sample)))


class Rates:
    """Records a second of each worker process, between this sample and the one before."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, int]] = {}

    def of(self, sample: Sample) -> dict[int, float]:
        rates = {}
        for status in sample.workers:
            at_s, received = self._before.get(status.pid, (sample.elapsed_s, status.received))
            passed_s = sample.elapsed_s - at_s
            rates[status.pid] = (status.received - received) / passed_s if passed_s > 0 else 0.0
            self._before[status.pid] = (sample.elapsed_s, status.received)
        return rates


class Plain:
    """One line every two seconds, and each event once."""

    def __init__(self) -> None:
        self._told = 0
        self._next_s = 0.0
        self._rates = Rates()

    def __call__(self, sample: Sample, story: Story) -> None:
        for at_s, what in story.events[self._told :]:
            sys.stderr.write(f"{at_s:6.1f} s  * {what}\n")
        self._told = len(story.events)
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PLAIN_EVERY_S
        ended = story.ended()
        lag = "  ".join(f"worker {s.worker} {_latency(s)}" for s in sample.workers)
        sys.stderr.write(
            f"{sample.elapsed_s:6.1f} s  {sample.report.per_second:5.0f} tx/s  "
            f"{ended.get('written', 0) + ended.get('superseded', 0)} changes applied, "
            f"{_dropped(ended)} repeats dropped  {lag}\n"
        )


def picture(sample: Sample, story: Story, rates: dict[int, float]) -> Group:
    """One frame: the load, the workers, what has happened."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("worker", "process", "records/s", "applied", "repeats dropped"):
        table.add_column(name, justify="right")
    table.add_column("commit → visible  p50 / p95 / p99", justify="right")
    table.add_column("state")
    for status in sample.workers:
        ended = status.ended
        table.add_row(
            str(status.worker),
            str(status.pid or "-"),
            f"{rates.get(status.pid, 0):,.0f}",
            f"{ended['written'] + ended['superseded']:,}",
            f"{_dropped(ended):,}",
            _latency(status),
            _state(status),
        )
    load = Text(
        f"load   {sample.report.committed.total():,} transactions, "
        f"{sample.report.per_second:,.0f}/s, {sample.report.rolled_back:,} rolled back"
    )
    events = Text("\n".join(f"{at_s:6.1f} s  {what}" for at_s, what in story.events[-6:]))
    title = f"shop → shop_mirror   {sample.elapsed_s:.0f} s"
    return Group(Panel(Group(load, Text(), table, Text(), events), title=title))


def _latency(status: Status) -> str:
    recent = status.recent
    if recent is None:
        return "no data yet"
    return (
        " / ".join(f"{v * 1000:,.0f}" for v in (recent.p50_s, recent.p95_s, recent.p99_s)) + " ms"
    )


def _state(status: Status) -> str:
    if not status.pid:
        return "down"
    if status.held_because:
        return f"waits: {status.held_because}"
    return "runs" if status.is_assigned else "joins its group"


def _dropped(ended: dict[str, int]) -> int:
    return ended.get("duplicate", 0) + ended.get("stale", 0)
