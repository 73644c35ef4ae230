"""The figures for people: a table for the terminal, a plot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = dict[str, Any]

_BARS = (
    ("COPY, the floor", "drain", "copy_rows_per_s", "0.65"),
    ("tailrace", "drain", "tailrace_events_per_s", "#1f6f8b"),
    ("JDBC sink, at its best", "drain", "jdbc_sink_best_events_per_s", "#d08c3c"),
    ("JDBC sink, batch 5,000", "drain", "jdbc_sink_events_per_s", "#d08c3c"),
    ("JDBC sink, default", "drain", "jdbc_sink_default_events_per_s", "#d08c3c"),
    ("repeats, with keys", "replay", "keys_events_per_s", "#1f6f8b"),
    ("repeats, without keys", "replay", "guards_events_per_s", "#1f6f8b"),
    ("Debezium alone", "chain", "debezium_alone_events_per_s", "0.65"),
    ("Debezium, beside tailrace", "chain", "debezium_events_per_s", "0.65"),
    ("source to target", "chain", "tailrace_events_per_s", "#1f6f8b"),
)


def show(figures: Figures, load: Figures) -> None:
    """Prints the tables to stdout."""
    console = Console()
    if rows := list(_rates(figures)):
        caption = "CPU: µs an event, of the process and of the target. Medians."
        table = Table(title="Events a second", caption=caption)
        for title in ("", "events/s", "compared", "CPU", "target"):
            table.add_column(title, justify="right" if title else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if latencies := figures.get("latency"):
        table = Table(title="Commit at the source to visible in the target, ms")
        for title in ("tx/s", "p50", "p95", "p99"):
            table.add_column(title, justify="right")
        for rate, found in latencies.items():
            table.add_row(rate, *(f"{found[p]:.0f}" for p in ("p50_ms", "p95_ms", "p99_ms")))
        console.print(table)
    if memory := figures.get("memory"):
        console.print(f"Peak memory of the worker: {memory['worker_peak_mib']:.0f} MiB")
    others = load["others_cores"]
    busy = "" if others is None else f"; others kept {others:.1f} cores busy"
    console.print(f"Load average: {load['lowest']:.1f} to {load['highest']:.1f}{busy}")


def _rates(figures: Figures) -> Iterator[tuple[str, ...]]:
    compared = {
        "copy_rows_per_s": ("vs_copy", "tailrace {}×"),
        "jdbc_sink_events_per_s": ("vs_jdbc_sink", "tailrace {}×"),
        "jdbc_sink_best_events_per_s": ("vs_jdbc_sink_best", "tailrace {}×"),
        "jdbc_sink_default_events_per_s": ("vs_jdbc_sink_default", "tailrace {}×"),
        "keys_events_per_s": ("keys_vs_first", "{}× first time"),
        "guards_events_per_s": ("guards_vs_first", "{}× first time"),
    }
    if "chain" in figures:
        compared["tailrace_events_per_s"] = ("vs_debezium", "{}× Debezium")
    for label, part, key, _ in _BARS:
        group = figures.get(part, {})
        if key in group:
            ratio, words = compared.get(key, ("", ""))
            who = key.removesuffix("_events_per_s").removesuffix("_rows_per_s")
            cpu = [group.get(f"{who}{of}_cpu_us") for of in ("", "_target")]
            yield (
                label,
                f"{group[key]:,}",
                words.format(group[ratio]) if ratio in group else "",
                *("" if used is None else f"{used:.1f}" for used in cpu),
            )


def plot(figures: Figures, path: Path) -> None:
    """Rates as bars, latencies beside them; what was not measured is left out."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    bars = [(*bar, figures[bar[1]][bar[2]]) for bar in _BARS if bar[2] in figures.get(bar[1], {})]
    latencies = figures.get("latency", {})
    panels = bool(bars) + bool(latencies)
    if not panels:
        return
    figure, axes = pyplot.subplots(1, panels, figsize=(7 * panels, 4.2), squeeze=False)
    left, right = axes[0][0], axes[0][-1]
    if bars:
        drawn = left.barh(
            [bar[0] for bar in bars], [bar[4] for bar in bars], color=[bar[3] for bar in bars]
        )
        left.bar_label(drawn, [f"{bar[4]:,}" for bar in bars], padding=4)
        left.invert_yaxis()
        left.margins(x=0.18)
        left.set_title("Events a second")
    if latencies:
        for number, name in enumerate(("p50_ms", "p95_ms", "p99_ms")):
            at = [place + (number - 1) * 0.27 for place in range(len(latencies))]
            heights = [found[name] for found in latencies.values()]
            shade = ("#1f6f8b", "#79b4c7", "#c4dfe6")[number]
            drawn = right.bar(at, heights, 0.25, label=name.removesuffix("_ms"), color=shade)
            right.bar_label(drawn, fmt="%.0f", padding=2)
        right.set_xticks(range(len(latencies)), [f"{rate} tx/s" for rate in latencies])
        right.set_title("Commit at the source to visible in the target, ms")
        right.legend(frameon=False)
        right.margins(y=0.12)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
