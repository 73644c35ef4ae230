"""What users' tests rely on: waits that end, pictures that tell why not, judgements that fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.render import render
from connectors.rest import Connect
from tailrace.harness.cdc import Cdc
from tailrace.harness.topics import produce
from tailrace.harness.waits import Late, eventually

TABLE = "public.orders"
DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
CREATE TABLE others (id int PRIMARY KEY);
INSERT INTO orders SELECT i, 'old' FROM generate_series(1, 3) AS i;
"""
GOLDEN = Path(__file__).parent / "golden" / "orders.jsonl"


@pytest.fixture
def orders(cdc: Callable[..., Cdc]) -> Cdc:
    made = cdc(DDL, [TABLE])
    made.register()
    return made


def test_a_row_from_the_source_to_the_sink(orders: Cdc) -> None:
    orders.start()
    orders.wait_snapshot_done()
    assert len(orders.sink.rows(TABLE)) == 3
    with orders.tx() as tx:
        tx.sql("UPDATE orders SET note = %s WHERE id = 1", "new")
        tx.sql("DELETE FROM orders WHERE id = 2")
    orders.wait_applied(tx.lsn)
    assert orders.sink.rows(TABLE) == [{"id": 1, "note": "new"}, {"id": 3, "note": "old"}]
    assert [event.op for event in orders.events(TABLE)] == ["r", "r", "r", "u", "d"]
    assert orders.parked() == []
    orders.golden(orders.events(TABLE), GOLDEN)
    orders.wait_state("OK")
    assert orders.assert_converged()
    assert orders.assert_exactly_once_effect()
    assert orders.assert_order_per_key()


def test_a_wait_ends_when_the_last_change_was_none_of_ours(orders: Cdc) -> None:
    orders.start()
    orders.wait_applied(orders.sql("INSERT INTO others VALUES (1)"))
    orders.wait_applied()
    assert orders.assert_converged()


def test_a_wait_does_not_end_before_the_sink_has_it(orders: Cdc) -> None:
    worker = orders.start()
    orders.wait_applied()
    worker.stop()
    lsn = orders.sql("UPDATE orders SET note = 'later' WHERE id = 3")
    orders.wait_captured(lsn)
    orders.wait_state("BEHIND")
    with pytest.raises(AssertionError, match="the sink at") as late:
        orders.wait_applied(lsn, within_s=4)
    picture = str(late.value)
    assert "active, restart_lsn" in picture
    assert "task 0 RUNNING" in picture
    assert f"Kafka -> mirror: {orders.topic(TABLE)}[0] at 3 of 4, 1 behind" in picture
    assert "redis      reachable" in picture
    assert "process 0 (ended with 0), its last lines" in picture
    assert "drained" in picture
    assert orders.source_dsn.split(":")[2].split("@")[0] not in picture
    orders.start()
    orders.wait_applied(lsn)
    assert orders.sink.rows(TABLE)[2] == {"id": 3, "note": "later"}


def test_a_connector_that_failed_is_told_at_once_with_its_trace(orders: Cdc) -> None:
    orders.start()
    orders.wait_applied()
    with Connect(orders.spec.connect_url) as connect:
        connect.put(orders.name, render(orders.spec) | {"publication.name": "nobody_made_it"})
    orders.wait_state("FAILED")
    with pytest.raises(AssertionError, match="publication is missing") as failed:
        orders.wait_applied(within_s=60)
    picture = str(failed.value)
    assert "task 0 FAILED" in picture
    assert "Exception" in picture
    assert "NOT ACTIVE" in picture
    assert "process 0 (running)" in picture


def test_rows_that_differ_are_named_with_both_sides(orders: Cdc) -> None:
    orders.start()
    orders.wait_applied()
    orders.sink.sql("UPDATE orders SET note = 'odd' WHERE id = 1; DELETE FROM orders WHERE id = 2")
    orders.sink.sql("INSERT INTO orders VALUES (9, 'extra', 0, 0, 0)")
    with pytest.raises(AssertionError) as differ:
        orders.assert_converged(TABLE)
    told = str(differ.value)
    assert "public.orders differs from the source in 3 row(s): 1 missing, 1 extra, 1 cha" in told
    assert "changed id=1: source note='old' | sink note='odd'" in told
    assert "missing id=2: source note='old' | sink no such row" in told
    assert "extra id=9: source no such row | sink note='extra'" in told
    with pytest.raises(ValueError, match="it has public"):
        orders.assert_converged("public.nothing")


def test_a_second_effect_and_a_step_back_are_named(orders: Cdc) -> None:
    orders.start()
    orders.wait_applied()
    orders.wait_applied(orders.sql("UPDATE orders SET note = 'new' WHERE id = 2"))
    assert orders.assert_exactly_once_effect()
    orders.sink.sql("UPDATE orders SET note = note WHERE id = 2")
    with pytest.raises(AssertionError) as twice:
        orders.assert_exactly_once_effect()
    assert "1 changes took effect more than once" in str(twice.value)
    assert "public.orders id=2: 2 effects (UPDATE, UPDATE) of the one change at 0/" in str(
        twice.value
    )
    assert orders.assert_order_per_key()
    orders.sink.sql("UPDATE orders SET _cdc_commit = -1, _cdc_lsn = 5 WHERE id = 2")
    with pytest.raises(AssertionError, match=r"public.orders id=2: UPDATE at 0/5 after 0/"):
        orders.assert_order_per_key()


def test_nothing_can_be_judged_without_effects(cdc: Callable[..., Cdc]) -> None:
    made = cdc(DDL, [TABLE], watch_effects=False)
    made.make_tables()
    with pytest.raises(AssertionError, match="No effects were noted"):
        made.assert_exactly_once_effect()
    watched = cdc(DDL, [TABLE])
    watched.start().kill()
    with pytest.raises(AssertionError, match="the target had no such table"):
        watched.assert_exactly_once_effect()
    watched = cdc(DDL, [TABLE])
    watched.make_tables()
    watched.start().kill()
    with pytest.raises(AssertionError, match="no effect on public"):
        watched.assert_exactly_once_effect()


def test_what_is_parked_is_told_with_its_reason(orders: Cdc) -> None:
    orders.start()
    orders.wait_applied()
    produce(orders.brokers, orders.topic(TABLE), [(0, b"k", b"garbage")])
    orders.wait_applied()
    (parked,) = orders.parked()
    assert "malformed JSON" in parked.reason
    assert (parked.topic, parked.offset, parked.value) == (orders.topic(TABLE), 3, b"garbage")


def test_a_golden_file_that_is_not_the_same_or_not_there(orders: Cdc, tmp_path: Path) -> None:
    orders.wait_captured()
    events = orders.events(TABLE)
    with pytest.raises(AssertionError, match="--update-golden"):
        orders.golden(events, tmp_path / "none.jsonl")
    other = tmp_path / "other.jsonl"
    first, *rest = GOLDEN.read_text().splitlines()
    other.write_text("\n".join([first.replace('"old"', '"older"'), *rest[:2]]))
    with pytest.raises(AssertionError) as differ:
        orders.golden(events, other)
    assert '-{"key": {"id": 1}' in str(differ.value)
    assert '"older"' in str(differ.value)


def test_a_state_that_there_is_not(orders: Cdc) -> None:
    with pytest.raises(ValueError, match="the states are FAILED"):
        orders.wait_state("SLEEPY")
    with Connect(orders.spec.connect_url) as connect:
        connect.pause(orders.name)
    orders.wait_state("PAUSED")


def test_eventually_raises_the_last_assertion_again() -> None:
    seen: list[int] = []

    def fact() -> bool:
        seen.append(1)
        assert len(seen) > 2, f"only {len(seen)}"
        return True

    assert eventually(fact, 5)
    seen.clear()
    with pytest.raises(AssertionError, match=r"^only 1\b"):
        eventually(fact, 0)
    with pytest.raises(Late, match="has to return something true"):
        eventually(lambda: None, 0)
