"""Each fault does what its name says, and the pipeline comes through it."""

from collections.abc import Callable

import pytest

from connectors.catalogue import read_slot
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually

TABLE = "public.orders"
DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 20) AS i;
"""


@pytest.fixture
def orders(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, [TABLE], proxied=["sink", "redis", "kafka"])
    made.register()
    made.start()
    made.wait_applied()
    return made


def comes_through(orders: Cdc) -> None:
    orders.wait_applied(orders.sql("UPDATE orders SET note = note || '.' WHERE id % 2 = 0"))
    assert orders.assert_converged()
    assert orders.assert_exactly_once_effect()
    assert orders.assert_order_per_key()


def test_a_worker_is_killed_at_a_step_and_now(orders: Cdc) -> None:
    worker = orders.faults.kill_worker(at="before commit", hit=2)
    orders.sql("INSERT INTO orders VALUES (100, 'one')")
    eventually(lambda: orders.sink.query("SELECT 1 FROM orders WHERE id = 100"))
    orders.sql("INSERT INTO orders VALUES (101, 'two')")
    worker.wait_killed()
    assert orders.sink.query("SELECT id FROM orders WHERE id >= 100") == [(100,)]
    orders.start()
    comes_through(orders)
    orders.faults.kill_worker().wait_killed(0)
    orders.start()
    comes_through(orders)
    with pytest.raises(ValueError, match="its steps are polled"):
        orders.faults.kill_worker(at="nowhere")


def test_a_sink_that_is_cut_off(orders: Cdc) -> None:
    orders.faults.cut("sink")
    orders.sql("INSERT INTO orders VALUES (100, 'one')")
    eventually(lambda: "cannot take it now" in orders.running[0].text())
    assert orders.sink.query("SELECT id FROM orders WHERE id >= 100") == []
    orders.faults.heal()
    comes_through(orders)


def test_a_redis_that_is_slow_and_then_cut_off(orders: Cdc) -> None:
    orders.faults.delay("redis", 300)
    comes_through(orders)
    orders.faults.heal()
    orders.faults.cut("redis")
    orders.sql("UPDATE orders SET note = 'without keys'")
    eventually(lambda: "idempotency keys are away" in orders.running[0].text())
    comes_through(orders)


def test_a_kafka_that_says_nothing(orders: Cdc) -> None:
    orders.faults.half_open("kafka")
    lsn = orders.sql("INSERT INTO orders VALUES (100, 'one')")
    orders.wait_captured(lsn)
    orders.wait_state("BEHIND")
    assert orders.sink.query("SELECT id FROM orders WHERE id >= 100") == []
    orders.faults.heal()
    if not orders.running[0].is_alive:
        orders.start()
    comes_through(orders)


def test_records_that_come_again(orders: Cdc) -> None:
    assert orders.faults.duplicate(5) == 5
    assert len(orders.events(TABLE)) == 25
    comes_through(orders)
    assert orders.faults.lose_redis() > 0
    assert orders.faults.duplicate(7, TABLE) == 7
    comes_through(orders)


def test_a_member_that_comes_and_goes(orders: Cdc) -> None:
    def takeovers() -> int:
        return orders.running[0].text().count("assigned")

    before = takeovers()
    orders.faults.rebalance()
    eventually(lambda: takeovers() > before, what=orders.running[0].text())
    comes_through(orders)


def test_a_task_that_is_restarted(orders: Cdc) -> None:
    def reader() -> int | None:
        with orders.at() as at:
            slot = read_slot(at.source, orders.spec.slot)
        return None if slot is None else slot.active_pid

    before = reader()
    orders.faults.restart_task()
    assert reader() not in (None, before)
    comes_through(orders)


def test_a_fault_that_would_do_nothing_is_refused(cdc: Callable[..., Cdc]) -> None:
    made = cdc(DDL, [TABLE])
    with pytest.raises(ValueError, match="through a proxy: make the pipeline with"):
        made.faults.cut("sink")
    with pytest.raises(ValueError, match="No worker is running"):
        made.faults.kill_worker()
    with pytest.raises(ValueError, match="no proxy for connect"):
        cdc(DDL, [TABLE], proxied=["connect"])
