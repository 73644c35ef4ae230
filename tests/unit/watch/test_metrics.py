"""Metrics of a snapshot; what lists, alerts and dashboards name is what is exposed."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from consumer.metrics import ENDS, STAGES
from supervision.waiting import Waiting
from tailrace.watch import view
from tailrace.watch.metric_list import METRICS, OF_THE_PIPELINE
from tailrace.watch.metrics import families
from tailrace.watch.states import State, Verdict
from tests.unit.watch.test_top import pipeline as unknown

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
NOW_S = 1000.0
VALUES = {"state": {state.value for state in State}, "as": set(ENDS), "stage": set(STAGES)}


def known() -> view.Pipeline:
    start = unknown()
    stages = tuple(view.Stage(name, 0.1) for name in STAGES)
    sink = replace(
        start.sinks[0],
        verdict=Verdict(State.OK, "fine"),
        lag_s=0.0,
        behind_records=0,
        parked=0,
        waterfall=view.Waterfall(stages, 0.5, "apply", 3),
        waiting=Waiting(parked=2, overdue=0, proposals=1, breaks=0),
    )
    source = replace(
        start.source,
        heartbeat_in_kafka_age_s=1.5,
        budget=view.Budget(7, 9, 1.0, 9.0, None),
    )
    servers = (
        view.Server("kafka", None, NOW_S - 1),
        view.Server("redis", "It is away.", None),
        view.Server("connect", None, NOW_S - 60),
        view.Server("workers", None, None),
    )
    return replace(start, source=source, sinks=(sink,), servers=servers)


def series(*pipelines: view.Pipeline) -> dict[tuple[str, ...], float]:
    snapshot = view.Snapshot(NOW_S, 1.0, pipelines)
    return {
        (sample.name.removeprefix("tailrace_"), *sample.labels.values()): sample.value
        for family in families(snapshot)
        for sample in family.samples
    }


def test_what_is_known_is_there() -> None:
    found = series(known())
    assert found["lag_seconds", "shop", "mirror"] == 0.0
    assert found["parked_open", "shop", "mirror"] == 0
    assert found["sagas_parked", "shop", "mirror"] == 2
    assert found["proposals_waiting", "shop", "mirror"] == 1
    assert found["slot_left_seconds", "shop"] == 9.0
    assert found["stage_seconds", "shop", "mirror", "apply"] == 0.1
    assert found["heartbeat_age_seconds", "shop"] == 1.5
    assert found["clock_skew_seconds", "shop", "connect"] == 2.0
    names = {name for name, *_ in found}
    assert names == {metric.name.removeprefix("tailrace_") for metric in OF_THE_PIPELINE}


def test_what_is_not_known_is_absent() -> None:
    names = {name for name, *_ in series(unknown())}
    assert names == {"pipeline_state", "source_state", "sink_state", "clock_skew_seconds"}


def test_one_state_is_the_case() -> None:
    found = series(known())
    of_sink = {labels[-1]: value for labels, value in found.items() if labels[0] == "sink_state"}
    assert of_sink == {state.value: float(state is State.OK) for state in State}


def test_a_server_that_fell_silent_is_neither_up_nor_down() -> None:
    up = {labels[-1]: value for labels, value in series(known()).items() if "server_up" in labels}
    assert up == {"kafka": 1.0, "redis": 0.0}


def test_labels_are_as_listed() -> None:
    for family in families(view.Snapshot(NOW_S, 1.0, (known(),))):
        described = next(metric for metric in METRICS if metric.name == family.name)
        assert all(tuple(sample.labels) == described.labels for sample in family.samples)
        assert family.documentation == described.meaning


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def unheard_of(expr: str) -> Iterator[str]:
    """Metrics and values of labels in an expression that nothing exposes."""
    exposed = {metric.name: metric for metric in METRICS}
    for name, chosen in re.findall(r"(tailrace_\w+)(?:\{(.*?)\})?", expr):
        metric = exposed.get(name.removesuffix("_bucket"))
        if metric is None:
            yield name
            continue
        for label, how, value in re.findall(r'(\w+)(=~?|!=)"(.*?)"', chosen):
            if label not in metric.labels:
                yield f"{name}{{{label}}}"
            elif how == "=" and value not in VALUES[label]:
                yield f"{name}{{{label}={value}}}"


def test_alerts_name_what_is_exposed() -> None:
    assert [bad for rule in rules() for bad in unheard_of(rule["expr"])] == []
    assert list(unheard_of('tailrace_lag_minutes > 1 or tailrace_sink_state{state="BAD"}')) == [
        "tailrace_lag_minutes",
        "tailrace_sink_state{state=BAD}",
    ]


def test_every_wrong_state_has_an_alert() -> None:
    told = re.findall(r'state="(.*?)"', " ".join(rule["expr"] for rule in rules()))
    assert {state.value for state in State if state.is_wrong} <= set(told)


def test_every_alert_says_how_bad_and_what_to_do() -> None:
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / "handbook.md").read_text(), re.M)
    places = {
        f"docs/handbook.md#{re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-')}"
        for heading in headings
    }
    for rule in rules():
        assert rule["for"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook_url"] in places, rule["alert"]


def test_every_state_is_in_the_handbook() -> None:
    headings = re.findall(r"^### (.*)$", (ROOT / "docs" / "handbook.md").read_text(), re.M)
    assert [each.value for each in State if each not in (State.IDLE, State.OK)] == headings[:11]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_promtool_agrees() -> None:
    for words in (("check", "rules", "rules.yaml"), ("test", "rules", "rules.test.yaml")):
        ran = subprocess.run(
            ["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboard_is_made_from_the_list() -> None:
    script = ROOT / "deploy" / "grafana" / "dashboard.py"
    text = script.with_name("dashboard.json").read_text()
    assert runpy.run_path(str(script))["text"]() == text, f"run {script.relative_to(ROOT)}"
    targets = [t for panel in json.loads(text)["panels"] for t in panel.get("targets", ())]
    assert [bad for target in targets for bad in unheard_of(target["expr"])] == []
    assert len(targets) == len(METRICS)
