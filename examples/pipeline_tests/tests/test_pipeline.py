"""A pipeline with a worker of one's own, and two that are wrong on purpose."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.harness.cdc import Cdc

WORKER = [sys.executable, str(Path(__file__).parents[1] / "orders_worker.py")]
ORDERS = "public.orders"
SOURCE = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 30) AS i;
"""
TARGET = """
CREATE TABLE orders_copy (id int PRIMARY KEY, note text);
CREATE TABLE applied (change text PRIMARY KEY);
"""


@pytest.fixture
def orders(cdc: Callable[..., Cdc]) -> Cdc:
    """The table is captured; no worker runs yet."""
    made: Cdc = cdc(
        SOURCE,
        [ORDERS],
        target_ddl=TARGET,
        worker=WORKER,
        sink_tables={ORDERS: "public.orders_copy"},
        proxied=["sink"],
    )
    made.register()
    return made


def test_every_change_arrives(orders: Cdc) -> None:
    """A snapshot, an update, a delete: the copy is the same, row by row."""
    orders.start()
    orders.wait_snapshot_done()
    with orders.tx() as tx:
        tx.sql("UPDATE orders SET note = 'new' WHERE id = 1")
        tx.sql("DELETE FROM orders WHERE id = 2")
    orders.wait_applied(tx.lsn)
    assert orders.sink.rows(ORDERS)[0] == {"id": 1, "note": "new"}
    assert [event.op for event in orders.events(ORDERS)][-2:] == ["u", "d"]
    assert orders.assert_converged()
    assert orders.assert_exactly_once_effect()


def test_a_worker_that_dies_starts_again_where_it_was(orders: Cdc) -> None:
    """Killed in the middle of its work, and Kafka sends the last records once more."""
    orders.start()
    orders.sql("INSERT INTO orders SELECT i, 'more' FROM generate_series(31, 500) AS i")
    orders.eventually(lambda: len(orders.sink.rows(ORDERS)) > 50)
    orders.faults.kill_worker()
    orders.faults.duplicate(20)
    orders.start()
    orders.wait_applied()
    assert orders.assert_converged()
    assert orders.assert_exactly_once_effect()


def test_a_sink_that_drops_every_tenth_change_is_caught(orders: Cdc) -> None:
    """The rows that are missing are named."""
    orders.start("--broken", "drops")
    orders.wait_applied()
    with pytest.raises(AssertionError) as caught:
        orders.assert_converged()
    assert "public.orders differs from the source in 3 row(s): 3 missing" in str(caught.value)
    for id_ in (10, 20, 30):
        assert f"missing id={id_}: source note='old' | sink no such row" in str(caught.value)


def test_a_sink_that_applies_twice_is_caught(orders: Cdc) -> None:
    """Its rows are right in the end, so only the effects can tell."""
    orders.start("--broken", "repeats")
    orders.wait_applied()
    assert orders.assert_converged()
    with pytest.raises(AssertionError) as caught:
        orders.assert_exactly_once_effect()
    assert "30 changes took effect more than once" in str(caught.value)
    assert "public.orders id=1: 2 effects (1 INSERT, 1 UPDATE) of 1 change(s) at 0/" in str(
        caught.value
    )
