"""Figures from rounds."""

from bench import data, summary
from bench.rounds import PEER, Found
from bench.runs import Run


def run(what: str, per_s: float) -> Run:
    cpu = dict.fromkeys(("worker", "connect", "postgres-target"), 4.0)
    return Run(what, events=1000, seconds=1000 / per_s, cpu_us=cpu, peak_mib=100.0)


def round_(copy: float, ours: float, peer: float) -> list[Run]:
    return [run("COPY", copy), run("tailrace", ours), run(PEER, peer), run("COPY", copy)]


def test_a_ratio_is_taken_within_its_round() -> None:
    """Each round is half as fast as the one before; the ratios stay what they are."""
    rounds = [round_(400, 200, 20), round_(200, 100, 10), round_(100, 50, 5)]
    drain = summary.figures(Found(drain=rounds))["drain"]
    assert (drain["copy_rows_per_s"], drain["tailrace_events_per_s"]) == (200, 100)
    assert (drain["vs_copy"], drain["vs_jdbc_sink"]) == (0.5, 10.0)
    assert "jdbc_sink_default_events_per_s" not in drain


def test_a_repeat_is_the_same_bytes() -> None:
    rows = range(990, 1010)
    assert list(data.events(rows, "p")) == list(data.events(rows, "p"))


def test_positions_rise_and_a_transaction_shares_its_commit() -> None:
    positions = [data.position(i) for i in range(3000)]
    assert positions == sorted(set(positions))
    assert {commit for commit, _ in positions[1000:2000]} == {positions[1000][0]}
