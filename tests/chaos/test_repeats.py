"""What Debezium or Kafka delivers again takes no second effect, with and without its keys."""

import json
from collections.abc import Callable

import pytest

from tailrace.harness.cdc import Cdc
from tailrace.harness.running import Running
from tailrace.harness.topics import produce, records
from tailrace.harness.waits import eventually

TABLE = "public.t"
DDL = """
CREATE TABLE t (id int PRIMARY KEY, note text);
INSERT INTO t SELECT i, 'snapshot' FROM generate_series(1, 200) i;
"""


@pytest.fixture
def settled(cdc: Callable[..., Cdc]) -> Cdc:
    """A pipeline whose rows have been changed and deleted, all of it applied."""
    made = cdc(DDL, [TABLE])
    made.register()
    worker = made.start()
    made.wait_converged()
    made.sql("UPDATE t SET note = 'changed' WHERE id % 3 = 0")
    made.sql("DELETE FROM t WHERE id % 5 = 0")
    made.sql("UPDATE t SET id = id + 1000 WHERE id % 7 = 0")
    made.wait_converged()
    assert worker.stop() == 0
    return made


def repeat_all(pipe: Cdc) -> int:
    return pipe.faults.duplicate(len(records(pipe.brokers, pipe.topic(TABLE))))


def effects(pipe: Cdc) -> int:
    count: int = pipe.sink.query("SELECT count(*) FROM tailrace_test.effects")[0][0]
    return count


def assert_each_effect_once(pipe: Cdc) -> None:
    assert pipe.assert_exactly_once_effect()
    assert pipe.assert_order_per_key()
    assert effects(pipe) > 0


def drain(pipe: Cdc) -> dict[str, int]:
    """Runs a worker until the topic's end is applied; how the records ended."""
    end = len(records(pipe.brokers, pipe.topic(TABLE)))
    worker = pipe.start()
    pipe.wait_offset(TABLE, end)
    assert worker.stop() == 0, worker.text()
    return ended(worker)


def ended(worker: Running) -> dict[str, int]:
    line = next(line for line in reversed(worker.text().splitlines()) if "drained" in line)
    words = (word.split("=") for word in line.split() if "=" in word)
    return {name: int(count) for name, count in words if count.isdigit()}


def test_repeats_of_a_whole_topic_die_at_the_keys(settled: Cdc) -> None:
    before = effects(settled)
    sent = repeat_all(settled)
    how = drain(settled)
    assert how["duplicate"] == sent
    assert effects(settled) == before
    settled.wait_converged()
    assert_each_effect_once(settled)


def test_without_keys_they_die_at_the_sinks_guards(settled: Cdc) -> None:
    """I6: Redis flushed, so every repeat looks new."""
    before = effects(settled)
    sent = repeat_all(settled)
    assert settled.faults.lose_redis() > 0
    how = drain(settled)
    assert how["duplicate"] == 0
    assert how["stale"] + how["superseded"] == sent
    assert effects(settled) == before
    settled.wait_converged()
    assert_each_effect_once(settled)


def test_a_hole_that_is_filled_later_is_not_lost(settled: Cdc) -> None:
    """
    A producer failed on one record and later ones were written: when the connector starts again,
    the missing one arrives below everything that was applied.
    """
    log = records(settled.brokers, settled.topic(TABLE))
    last = json.loads(log[-1].value)
    commit, lsn = (int(part) for part in json.loads(last["source"]["sequence"]))

    def event(id_: int, ahead: int) -> tuple[int, bytes, bytes]:
        source = last["source"] | {
            "lsn": lsn + ahead,
            "sequence": json.dumps([str(commit + ahead), str(lsn + ahead)]),
        }
        value = {"op": "c", "before": None, "after": {"id": id_, "note": "x"}, "source": source}
        return 0, json.dumps({"id": id_}).encode(), json.dumps(value).encode()

    first, missing, later = event(9001, 10), event(9002, 20), event(9003, 30)
    produce(settled.brokers, settled.topic(TABLE), [first, later])
    drain(settled)
    produce(settled.brokers, settled.topic(TABLE), [first, missing, later])
    how = drain(settled)
    assert (how["duplicate"], how["written"]) == (2, 1)
    assert settled.sink.query("SELECT count(*) FROM t WHERE id > 9000") == [(3,)]
    assert_each_effect_once(settled)


def test_two_workers_fight_for_one_partition(settled: Cdc) -> None:
    """I5: a second worker of the same name throws the first out in the middle of the stream."""
    first = settled.start("--instance", "same")
    eventually(lambda: "assigned" in first.text())
    settled.sql("INSERT INTO t SELECT i, 'fight' FROM generate_series(2001, 2500) i")
    second = settled.start("--instance", "same")
    eventually(lambda: "assigned" in second.text(), what=second.text())
    settled.sql("UPDATE t SET note = 'fought' WHERE id > 2000")
    settled.wait_converged()
    assert first.process.wait(60) == 75, first.text()
    assert "TR-RUN-001" in first.text()  # by the sink or by Kafka, whichever came first
    assert second.stop() == 0, second.text()
    assert_each_effect_once(settled)
