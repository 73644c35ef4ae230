"""
Writes dashboard.json beside this file from the list of metrics; run it as a script.

A panel for each metric, in the list's order: states as bands of time, everything else as lines.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tailrace.watch.metric_list import OF_THE_DAEMON, OF_THE_PIPELINE, Described

FILE = Path(__file__).with_name("dashboard.json")
SOURCE = {"type": "prometheus", "uid": "${source}"}
UNITS = {"seconds": "s", "bytes": "bytes", "0 or 1": "bool"}
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
STATE_WIDTH = WIDTH * COLUMNS
VARIABLES = ("pipeline", "sink")


def dashboard() -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": "tailrace",
        "title": "tailrace",
        "tags": ["tailrace"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    for name in VARIABLES:
        yield {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "query": f"label_values(tailrace_lag_records, {name})",
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "refresh": 2,
        }


def _panels() -> Iterator[dict[str, Any]]:
    top = 0
    for title, metrics in (("Pipelines", OF_THE_PIPELINE), ("Workers", OF_THE_DAEMON)):
        yield _placed({"type": "row", "title": title, "panels": []}, 0, top, STATE_WIDTH, 1)
        top += 1
        states = [metric for metric in metrics if "state" in metric.labels]
        for metric in states:
            yield _placed(_states(metric), 0, top, STATE_WIDTH, HEIGHT // 2)
            top += HEIGHT // 2
        lines = [metric for metric in metrics if metric not in states]
        for number, metric in enumerate(lines):
            row, column = divmod(number, COLUMNS)
            yield _placed(_lines(metric), column * WIDTH, top + row * HEIGHT, WIDTH, HEIGHT)
        top += -(-len(lines) // COLUMNS) * HEIGHT


def _placed(panel: dict[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return panel | {"gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _states(metric: Described) -> dict[str, Any]:
    return _panel(metric, "state-timeline", f"{_chosen(metric)} == 1", metric.labels)


def _lines(metric: Described) -> dict[str, Any]:
    chosen, by = _chosen(metric), metric.labels
    if metric.kind == "counter":
        return _panel(metric, "timeseries", f"rate({chosen}[5m])", by, per_second=True)
    if metric.kind == "histogram":
        buckets = _chosen(metric, "_bucket")
        expr = f"histogram_quantile(0.95, sum by (le, {', '.join(by)}) (rate({buckets}[5m])))"
        return _panel(metric, "timeseries", expr, by)
    return _panel(metric, "timeseries", chosen, by)


def _chosen(metric: Described, suffix: str = "") -> str:
    wanted = ", ".join(f'{name}=~"${name}"' for name in VARIABLES if name in metric.labels)
    return f"{metric.name}{suffix}{{{wanted}}}"


def _panel(
    metric: Described, kind: str, expr: str, labels: Sequence[str], *, per_second: bool = False
) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    what = metric.name.removeprefix("tailrace_").removesuffix("_total").replace("_", " ")
    quantile = ", 95th percentile" if metric.kind == "histogram" else ""
    unit = "cps" if per_second else UNITS.get(metric.unit, "short")
    return {
        "type": kind,
        "title": what + (" a second" if per_second else "") + quantile,
        "description": metric.meaning,
        "datasource": SOURCE,
        "targets": [{"refId": "A", "expr": expr, "legendFormat": legend, "datasource": SOURCE}],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
