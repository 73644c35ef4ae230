"""What is said of a lag, and that nothing unknown is ever called zero."""

import dataclasses
from collections.abc import Mapping

import pytest

from connectors.catalogue import Slot
from consumer.event import TopicPartition
from tailrace.asking import Away
from tailrace.commands.lag import seconds
from tailrace.exits import Problem
from tailrace.lag import Head, Kafka, Log, Row, Source, over, rows, source_row, unknowns

NOW_US = 1_000_000_000
AT = TopicPartition("shop.public.orders", 0)
AWAY = Away("Kafka is not there.")
SLOT = Slot("pgoutput", "shop", 7, "Debezium", "reserved", 900, 4096, None, True, None)
HEARTBEAT_MS = 5000


def one(
    log: Log | None, applied: Mapping[TopicPartition, int] | Away, topic: str = AT.topic
) -> Row:
    kafka = Kafka({"mirror": {} if log is None else {AT: log}}, None)
    (row,) = rows({"mirror": [topic]}, {"mirror": applied}, kafka, NOW_US)
    return row


def head(age_s: float, *, is_snapshot: bool = False) -> Head:
    return Head(5, NOW_US - int(age_s * 1e6), is_snapshot)


def test_the_oldest_unapplied_record_gives_the_age() -> None:
    row = one(Log(0, 12, head(7.5)), {AT: 5})
    assert (row.behind_records, row.lag_s, row.unknown) == (7, 7.5, None)


def test_all_applied_is_zero() -> None:
    row = one(Log(0, 12), {AT: 12})
    assert (row.behind_records, row.lag_s, row.unknown) == (0, 0.0, None)


def test_a_clock_that_is_behind_gives_no_negative_age() -> None:
    assert one(Log(0, 12, head(-3)), {AT: 5}).lag_s == 0.0


def test_snapshot_rows_have_no_age() -> None:
    row = one(Log(0, 12, head(9000, is_snapshot=True)), {AT: 5})
    assert (row.behind_records, row.lag_s, row.is_snapshot, row.unknown) == (7, None, True, None)
    assert list(over([row], source_row("s", Away("x"), AWAY, HEARTBEAT_MS, NOW_US), 1)) == []


def test_a_sink_that_has_not_begun_reads_from_the_beginning() -> None:
    assert one(Log(0, 12, head(1)), {}).behind_records == 12


def test_a_table_without_a_topic_is_no_lag_and_no_riddle() -> None:
    row = one(None, {})
    assert (row.partition, row.behind_records, row.lag_s, row.unknown) == (None, None, None, None)


@pytest.mark.parametrize(
    ("log", "applied", "reason"),
    [
        (None, {AT: 5}, "has no shop.public.orders[0] any more"),
        (Log(8, 12), {AT: 5}, "deleted 3 record"),
        (Log(0, 3), {AT: 5}, "made anew"),
        (Log(0, 12), {AT: 5}, "did not hand out"),
        (Log(0, 12), Away("The sink is away."), "The sink is away"),
    ],
)
def test_what_cannot_be_known_has_a_reason_and_no_age(
    log: Log | None, applied: Mapping[TopicPartition, int] | Away, reason: str
) -> None:
    row = one(log, applied)
    assert row.lag_s is None
    assert row.unknown is not None
    assert reason in row.unknown


def test_without_kafka_each_partition_the_sink_knows_is_unknown() -> None:
    topics = {"mirror": [AT.topic, "shop.public.customers"]}
    found = rows(topics, {"mirror": {AT: 5}}, AWAY, NOW_US)
    assert [(row.partition, row.next_offset, row.unknown) for row in found] == [
        (0, 5, AWAY.sentence),
        (None, None, AWAY.sentence),
    ]


class TestSource:
    def test_a_late_heartbeat_counts_from_when_it_was_due(self) -> None:
        kafka = Kafka({}, NOW_US - 47_000_000)
        source = source_row("s", Source(SLOT, 1000, 300, 0.0), kafka, HEARTBEAT_MS, NOW_US)
        assert (source.heartbeat_in_kafka_age_s, source.overdue_s) == (47.0, 42.0)
        assert list(over([], source, 50)) == []
        assert "no heartbeat of the source for 47 s" in next(over([], source, 40))

    def test_what_the_slot_says(self) -> None:
        found = source_row("s", Source(SLOT, 1000, 300, 0.0), Kafka({}, NOW_US), 5000, NOW_US)
        assert found.unknown is None
        assert (found.is_read, found.reader, found.wal_status) == (True, "Debezium", "reserved")
        assert (found.unconfirmed_bytes, found.retained_bytes) == (100, 4096)
        assert (found.heartbeat_age_s, found.heartbeat_in_kafka_age_s) == (0.3, 0.0)

    def test_a_slot_that_is_ahead_is_not_behind(self) -> None:
        source = Source(dataclasses.replace(SLOT, confirmed=2000), 1000, 300, 0.0)
        assert source_row("s", source, Kafka({}, NOW_US), 5000, NOW_US).unconfirmed_bytes == 0

    @pytest.mark.parametrize(
        ("source", "kafka", "reason"),
        [
            (Away("The source is away."), Kafka({}, NOW_US), "The source is away."),
            (Source(None, 1000, None, 0.0), Kafka({}, NOW_US), "no replication slot"),
            (Source(SLOT, 1000, 300, 0.0), AWAY, AWAY.sentence),
            (Source(SLOT, 1000, 300, 0.0), Kafka({}, None), "No heartbeat has come"),
        ],
    )
    def test_why_something_is_not_known(
        self, source: Source | Away, kafka: Kafka | Away, reason: str
    ) -> None:
        found = source_row("s", source, kafka, HEARTBEAT_MS, NOW_US)
        assert found.unknown is not None
        assert reason in found.unknown

    def test_a_reason_that_many_have_is_told_once(self) -> None:
        found = [Row("mirror", "a", 0, unknown="x"), Row("mirror", "a", 1, unknown="x")]
        source = source_row("s", Away("y"), AWAY, HEARTBEAT_MS, NOW_US)
        assert unknowns(found, source) == ["x", "y"]


def test_the_worst_partition_stands_for_its_sink() -> None:
    found = [Row("mirror", "a", n, lag_s=float(n)) for n in range(10)]
    source = source_row("s", Away("y"), AWAY, HEARTBEAT_MS, NOW_US)
    assert list(over(found, source, 6)) == [
        "Sink mirror is 9.0 s behind in a[9] and later than 6 s in 2 more."
    ]


@pytest.mark.parametrize(
    ("text", "meant"), [("30s", 30), ("500ms", 0.5), ("1.5m", 90), ("2h", 7200), ("7", 7)]
)
def test_times(text: str, meant: float) -> None:
    assert seconds(text, "--max") == meant


@pytest.mark.parametrize("text", ["", "s", "-1s", "3 days", "1e9", "nan"])
def test_no_times(text: str) -> None:
    with pytest.raises(Problem, match="TR-LAG-001"):
        seconds(text, "--max")
