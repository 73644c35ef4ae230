"""What Debezium or Kafka delivers again takes no second effect, with and without its keys."""

import json
from collections.abc import Callable

import pytest
import redis

from tests.chaos.test_worker_kills import assert_each_effect_once, watch_effects
from tests.pipeline import Pipe, Running, eventually
from tests.topics import produce, records

DDL = """
CREATE TABLE t (id int PRIMARY KEY, note text);
INSERT INTO t SELECT i, 'snapshot' FROM generate_series(1, 200) i;
"""


@pytest.fixture
def settled(pipe: Callable[..., Pipe]) -> Pipe:
    """A pipeline whose rows have been changed and deleted, all of it applied."""
    made = pipe(DDL, ["public.t"])
    made.make_tables()
    watch_effects(made)
    made.register()
    worker = made.start()
    made.wait_equal()
    made.sql("UPDATE t SET note = 'changed' WHERE id % 3 = 0")
    made.sql("DELETE FROM t WHERE id % 5 = 0")
    made.sql("UPDATE t SET id = id + 1000 WHERE id % 7 = 0")
    made.wait_equal()
    assert worker.stop() == 0
    return made


def topic_of(pipe: Pipe) -> str:
    return f"{pipe.name}.public.t"


def repeat_all(pipe: Pipe) -> int:
    found = records(pipe, topic_of(pipe))
    produce(pipe, topic_of(pipe), ((r.partition, r.key, r.value) for r in found))
    return len(found)


def effects(pipe: Pipe) -> int:
    count: int = pipe.rows("SELECT count(*) FROM effects")[0][0]
    return count


def drain(pipe: Pipe) -> dict[str, int]:
    """Runs a worker until the topic's end is applied; how the records ended."""
    end = len(records(pipe, topic_of(pipe)))
    worker = pipe.start()
    pipe.wait_offset(topic_of(pipe), end)
    assert worker.stop() == 0, worker.text()
    return ended(worker)


def ended(worker: Running) -> dict[str, int]:
    line = next(line for line in reversed(worker.text().splitlines()) if "drained" in line)
    words = (word.split("=") for word in line.split() if "=" in word)
    return {name: int(count) for name, count in words if count.isdigit()}


def test_repeats_of_a_whole_topic_die_at_the_keys(settled: Pipe) -> None:
    before = effects(settled)
    sent = repeat_all(settled)
    how = drain(settled)
    assert how["duplicate"] == sent
    assert effects(settled) == before
    settled.wait_equal()
    assert_each_effect_once(settled)


def test_without_keys_they_die_at_the_sinks_guards(settled: Pipe) -> None:
    """I6: Redis flushed, so every repeat looks new."""
    before = effects(settled)
    sent = repeat_all(settled)
    with redis.Redis.from_url(settled.pipeline.redis.url) as client:
        for key in client.scan_iter(f"{{{settled.group()}}}*"):
            client.delete(key)
    how = drain(settled)
    assert how["duplicate"] == 0
    assert how["stale"] + how["superseded"] == sent
    assert effects(settled) == before
    settled.wait_equal()
    assert_each_effect_once(settled)


def test_a_hole_that_is_filled_later_is_not_lost(settled: Pipe) -> None:
    """
    A producer failed on one record and later ones were written: when the connector starts again,
    the missing one arrives below everything that was applied.
    """
    log = records(settled, topic_of(settled))
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
    produce(settled, topic_of(settled), [first, later])
    drain(settled)
    produce(settled, topic_of(settled), [first, missing, later])
    how = drain(settled)
    assert (how["duplicate"], how["written"]) == (2, 1)
    assert settled.rows("SELECT count(*) FROM t WHERE id > 9000") == [(3,)]
    assert_each_effect_once(settled)


def test_two_workers_fight_for_one_partition(settled: Pipe) -> None:
    """I5: a second worker of the same name throws the first out in the middle of the stream."""
    first = settled.start("--instance", "same")
    eventually(lambda: "assigned" in first.text())
    settled.sql("INSERT INTO t SELECT i, 'fight' FROM generate_series(2001, 2500) i")
    second = settled.start("--instance", "same")
    eventually(lambda: "assigned" in second.text(), what=second.text())
    settled.sql("UPDATE t SET note = 'fought' WHERE id > 2000")
    settled.wait_equal()
    assert first.process.wait(60) == 75, first.text()
    assert "TR-RUN-001" in first.text()  # by the sink or by Kafka, whichever came first
    assert second.stop() == 0, second.text()
    assert_each_effect_once(settled)
