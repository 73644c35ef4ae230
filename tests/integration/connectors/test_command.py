"""`tailrace connector` as a person or a script uses it."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually

TABLES = "CREATE TABLE orders (id int PRIMARY KEY, note text)"


def run(pipe: Cdc, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace", "connector", *words, "-c", str(pipe.file)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def orders(cdc: Callable[..., Cdc]) -> Cdc:
    return cdc(TABLES, ["public.orders"])


def test_a_connector_s_life(orders: Cdc) -> None:
    planned = run(orders, "plan", "--exit-code")
    assert planned.returncode == 4
    assert "CREATE PUBLICATION" in planned.stdout
    assert f"-- create connector {orders.name}" in planned.stdout

    applied = run(orders, "apply")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == ""
    assert "connector RUNNING, task 0 RUNNING" in applied.stderr
    again = run(orders, "plan", "--exit-code")
    assert (again.returncode, again.stdout) == (0, "-- nothing to do\n")

    eventually(lambda: run(orders, "status").returncode == 0, what="a healthy connector")
    assert json.loads(run(orders, "status", "--json").stdout)["state"] == "RUNNING"
    assert run(orders, "restart").returncode == 0
    assert run(orders, "pause").returncode == 0
    assert run(orders, "status").returncode == 3
    assert run(orders, "resume").returncode == 0

    refused = run(orders, "delete", "--drop-slot")
    assert refused.returncode == 2
    assert "say --yes. [TR-CON-010]" in refused.stderr
    deleted = run(orders, "delete", "--drop-slot", "--drop-publication", "--yes")
    assert deleted.returncode == 0, deleted.stderr
    assert run(orders, "status").returncode == 1


def test_a_plan_as_json_shows_no_secret(orders: Cdc) -> None:
    found = run(orders, "plan", "--json")
    plan = json.loads(found.stdout)
    assert plan["findings"] == []
    assert plan["changes"][0]["action"] == "create"
    assert orders.pipeline.source.placeholder not in found.stdout + found.stderr


def test_taking_a_table_out_asks_first(cdc: Callable[..., Cdc]) -> None:
    two = cdc(
        f"{TABLES}; CREATE TABLE items (id int PRIMARY KEY)", ["public.orders", "public.items"]
    )
    assert run(two, "apply").returncode == 0
    two.file.write_text(two.file.read_text().replace("- public.items\n", ""))
    refused = run(two, "apply")
    assert refused.returncode == 2
    assert "drop public.items from publication" in refused.stderr
    assert run(two, "apply", "--yes").returncode == 0
    assert run(two, "plan", "--exit-code").returncode == 0


def test_what_speaks_against_it_is_told_and_ends_with_1(cdc: Callable[..., Cdc]) -> None:
    keyless = cdc("CREATE TABLE orders (id int)", ["public.orders"])
    planned = run(keyless, "plan")
    assert planned.returncode == 1
    assert "[TR-SRC-007]" in planned.stderr
    applied = run(keyless, "apply")
    assert applied.returncode == 1
    assert "Traceback" not in applied.stderr


def test_an_absent_connect_is_worth_another_try(cdc: Callable[..., Cdc]) -> None:
    nowhere = cdc(TABLES, ["public.orders"])
    text = nowhere.file.read_text()
    nowhere.file.write_text(text.replace(nowhere.pipeline.connect.url, "http://127.0.0.1:9"))
    found = run(nowhere, "plan")
    assert found.returncode == 75
    assert "[TR-CON-001]" in found.stderr
