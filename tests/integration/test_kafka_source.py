"""The Kafka source against a real broker."""

import secrets
from collections.abc import Callable, Iterator

import kafka
import kafka.errors
import pytest
from kafka.admin import NewTopic

import consumer.kafka
from consumer.errors import Busy, LogLost, Rebalanced, Refused
from consumer.event import START, Mark, Record, Span
from consumer.kafka import KafkaSource, Limits
from devstack import Endpoints
from tailrace.harness.waits import eventually

Source = Callable[..., KafkaSource]


@pytest.fixture
def topic(endpoints: Endpoints) -> str:
    """A topic of one partition with a hundred records."""
    name = f"t{secrets.token_hex(4)}"
    admin = kafka.KafkaAdminClient(bootstrap_servers=endpoints.kafka)
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()
    producer = kafka.KafkaProducer(bootstrap_servers=endpoints.kafka)
    for number in range(100):
        producer.send(name, key=b"k", value=b"%d" % number)
    producer.close()
    return name


@pytest.fixture
def source(endpoints: Endpoints, topic: str) -> Iterator[Source]:
    opened: list[KafkaSource] = []

    def open_(group: str = topic, **limits: int) -> KafkaSource:
        client = {"bootstrap_servers": [endpoints.kafka]}
        opened.append(KafkaSource([topic], group=group, client=client, limits=Limits(**limits)))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def read(source: KafkaSource, start: int, count: int) -> list[Record]:
    """`count` records from offset `start`, over as many assignments as it takes."""
    found: list[Record] = []

    def enough() -> bool:
        try:
            for records in source.poll().values():
                found.extend(records)
        except Rebalanced as change:
            found.clear()
            source.start({at: Mark(start, START, 0, 0) for at in change.partitions})
        except Busy:  # no coordinator within so short a time
            return False
        return len(found) >= count

    eventually(enough, 60)
    return found


def test_it_reads_from_where_the_sink_says(source: Source) -> None:
    assert [record.offset for record in read(source(), 40, 60)] == list(range(40, 100))


def test_a_join_that_times_out_again_and_again_still_ends_in_reading(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer.kafka, "JOIN_WITHIN_MS", 3)
    assert len(read(source(wait_ms=3), 0, 100)) == 100


def test_a_hold_reads_nothing_and_loses_nothing(source: Source) -> None:
    opened = source(max_events=10)
    assert len(read(opened, 0, 10)) == 10
    opened.hold(0.3)
    rest: list[Record] = []

    def all_of_it() -> bool:
        for records in opened.poll().values():
            rest.extend(records)
        return len(rest) >= 90

    eventually(all_of_it)
    assert [record.offset for record in rest] == list(range(10, 100))


def test_the_group_hears_how_far_the_sink_is(
    endpoints: Endpoints, source: Source, topic: str
) -> None:
    opened = source()
    found = read(opened, 0, 100)
    opened.commit({found[0].at: Span(0, 100)})
    admin = kafka.KafkaAdminClient(bootstrap_servers=endpoints.kafka)

    def committed() -> bool:
        opened.poll()
        offsets = admin.list_group_offsets(topic)
        return "offset=100" in str(offsets)

    eventually(committed)
    admin.close()


def test_an_offset_beyond_the_log_stops_with_a_sentence(source: Source) -> None:
    opened = source()
    with pytest.raises(LogLost, match="no longer holds what the sink wants"):
        read(opened, 10_000, 1)


def test_a_topic_made_anew_is_not_read_at_an_old_offset(source: Source) -> None:
    opened = source()
    found = read(opened, 0, 100)
    other = Mark(50, START, 0, 0, log="00000000-0000-0000-0000-000000000001")
    with pytest.raises(LogLost, match="was deleted and made anew"):
        opened.start({found[0].at: other})


def test_the_log_of_a_partition_is_known(source: Source) -> None:
    opened = source()
    at = read(opened, 0, 100)[0].at
    log = opened.start({at: Mark(0, START, 0, 0)})[at].log
    assert len(log) == 36


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (kafka.errors.KafkaConnectionError("refused"), Busy),
        (kafka.errors.CoordinatorNotAvailableError(), Busy),
        (kafka.errors.GroupAuthorizationFailedError(), Refused),
    ],
)
def test_what_kafka_answers_decides(
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: type[Exception],
) -> None:
    opened = source()

    def fail() -> None:
        raise error

    monkeypatch.setattr(opened, "_join", fail)
    with pytest.raises(expected):
        opened.poll()
    if expected is Busy:
        opened.hold(0.01)  # waits, and leaves the sentence to `poll`


def test_a_topic_that_the_group_did_not_know_when_it_was_joined(endpoints: Endpoints) -> None:
    """As when the leader shared out partitions by older knowledge than it then noted."""
    name = f"t{secrets.token_hex(4)}"
    client = {"bootstrap_servers": [endpoints.kafka]}
    source = KafkaSource([name], group=name, client=client, limits=Limits())
    eventually(lambda: assigned(source) == 0, 30)
    source._consumer._coordinator._assignment_snapshot = None  # so the library sees no change
    admin = kafka.KafkaAdminClient(**client)
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()

    eventually(lambda: assigned(source) == 1, 30)
    source.close()


def assigned(source: KafkaSource) -> int | None:
    """How many partitions the next poll brings; None if it brings no news of them."""
    try:
        source.poll()
    except Rebalanced as change:
        source.start({at: Mark(0, START, 0, 0) for at in change.partitions})
        return len(change.partitions)
    return None
