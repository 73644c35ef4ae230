"""The bench itself, with numbers that are too small to mean anything."""

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench import report, rounds, summary
from bench.lab import Lab
from devstack import AnyStack, Endpoints, Stack
from tailrace.progress import shown

SIZE = rounds.Size(events=2500, rounds=1, rates=(20,), seconds=1.0)


@pytest.fixture
def lab(stack: AnyStack, endpoints: Endpoints) -> Iterator[Lab]:
    if not isinstance(stack, Stack):
        pytest.skip("the bench measures the embedded stack")
    with shown() as tell:
        lab = Lab(stack, endpoints, tell, name=f"bench_{secrets.token_hex(4)}")
        yield lab
        lab.close()


def test_everything_but_the_peer_is_measured(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    found = rounds.measure(lab, SIZE, {"drain", "replay", "chain", "latency"})
    figures = summary.figures(found)
    assert figures["drain"]["tailrace_events_per_s"] > 0
    assert figures["drain"]["vs_copy"] > 0
    assert figures["replay"]["keys_vs_first"] > 0
    assert figures["chain"]["debezium_events_per_s"] >= figures["chain"]["tailrace_events_per_s"]
    assert 0 < figures["latency"]["20"]["p50_ms"] <= figures["latency"]["20"]["p99_ms"]
    assert figures["memory"]["worker_peak_mib"] > 30
    report.show(figures, summary.load(found))
    assert "source to target" in capsys.readouterr().out


def test_an_unknown_measure_is_refused_in_a_sentence() -> None:
    words = [sys.executable, "-m", "bench", "--only", "drains"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "drain, peer, replay, chain, latency" in done.stderr
