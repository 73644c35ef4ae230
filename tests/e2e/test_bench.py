"""The bench itself, with numbers that are too small to mean anything."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bench import report, rounds, summary
from bench.lab import BenchFailed, Lab
from bench.sagas_dbos import Peer
from devstack import AnyStack, Endpoints, Stack
from tailrace.databases import make_database
from tailrace.progress import shown
from tailrace.tour import BALANCE_CENTS, CUSTOMERS, SERVICES, STATEMENTS, STOCK, TABLES

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


@pytest.fixture
def databases(endpoints: Endpoints) -> dict[str, str]:
    """The tour's, without connectors: three cars of a kind, and plenty of the rest."""
    found = {}
    for name in SERVICES[1:]:
        found[name] = make_database(endpoints.source, f"bench_peer_{name}")
        with psycopg.connect(found[name]) as connection:
            connection.execute(TABLES[name])
            if name in STOCK:
                prefix, price_cents, _, count = STOCK[name]
                capacity = 3 if name == "car" else 1000
                fill = [prefix, price_cents, capacity, capacity, count]
                connection.execute(STATEMENTS["fill_stock"], fill)
            if name == "payment":
                connection.execute(STATEMENTS["fill_accounts"], [BALANCE_CENTS, CUSTOMERS])
    return found


def test_the_peer_books_each_tour_once_and_one_that_is_refused_ends_it(
    endpoints: Endpoints, databases: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "dbos.log").open("wb") as log:
        peer = Peer(make_database(endpoints.source, "bench_peer_dbos"), databases, log)
    try:
        assert len(set(peer.book(4)["ids"])) == 4
        assert peer.book(2, rate=10.0)["took_s"] > 0.1
        for name, table in (("car", "booking"), ("payment", "payment"), ("tickets", "ticket")):
            with psycopg.connect(databases[name]) as connection:
                count = sql.SQL("SELECT count(DISTINCT tour), count(*) FROM {}")
                row = connection.execute(count.format(sql.Identifier(table))).fetchone()
            assert row is not None
            assert row[0] == 6
            assert row[1] == 6 or name == "tickets"
        with pytest.raises(BenchFailed):
            peer.book(100)  # there are 30 cars
    finally:
        peer.close()
    assert "NoCarLeft" in (tmp_path / "dbos.log").read_text()


def test_an_unknown_measure_is_refused_in_a_sentence() -> None:
    words = [sys.executable, "-m", "bench", "--only", "drains"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "drain, peer, replay, chain, latency" in done.stderr
