"""Our reader of CloudEvents' headers, beside the package `cloudevents`, and with garbage."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import Unreadable
from consumer.event import Record, TopicPartition
from eventstore.envelope import LONGEST_BYTES, MOST_HEADERS, envelope

Headers = list[tuple[str, bytes | None]]
GOOD: dict[str, bytes] = {
    "ce_specversion": b"1.0",
    "ce_id": b"46ebf140-52ae-49ac-94d1-7302b554497d",
    "ce_source": b"hotel",
    "ce_type": b"hotel.room.held",
    "ce_time": b"2026-11-25T17:46:51.016237Z",
    "ce_dataschema": b"urn:tailrace:hotel.room.held:2",
    "ce_correlationid": b"c1",
    "content-type": b"application/json",
}


def record(headers: Headers, value: bytes | None = b"{}") -> Record:
    return Record(TopicPartition("hotel.events", 0), 7, b"r-1", value, headers, 0)


def refusal(headers: Headers, value: bytes | None = b"{}") -> str:
    with pytest.raises(Unreadable) as refused:
        envelope(record(headers, value))
    return str(refused.value)


def test_what_the_outbox_sends() -> None:
    found = envelope(record([*GOOD.items(), ("id", b"\xff"), ("ce_causationid", None)]))
    assert (found.id, found.source, found.type, found.version) == (
        "46ebf140-52ae-49ac-94d1-7302b554497d",
        "hotel",
        "hotel.room.held",
        2,
    )
    assert found.time == datetime(2026, 11, 25, 17, 46, 51, 16237, UTC)
    assert found.meta == {"correlation": "c1"}
    assert found.data == b"{}"


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_source", "ce_type"])
@pytest.mark.parametrize("value", [None, b"", "absent"])
def test_what_is_missing_is_named(name: str, value: bytes | str | None) -> None:
    headers: Headers = [each for each in GOOD.items() if each[0] != name]
    if not isinstance(value, str):
        headers.append((name, value))
    assert f"no header {name}" in refusal(headers)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ce_specversion", b"0.3", "ce_specversion is not 1.0"),
        ("ce_specversion", b"1", "ce_specversion is not 1.0"),
        ("ce_id", b"\xff\xfe", "ce_id is not UTF-8"),
        ("ce_id", b"a\0b", "ce_id has the character 0"),
        ("ce_id", b"x" * 2000, "ce_id and ce_source are together longer than 2000 bytes"),
        ("ce_type", b"x" * (LONGEST_BYTES + 1), "ce_type is longer than 4096 bytes"),
        ("ce_time", b"yesterday", "ce_time is no time"),
        ("ce_time", b"2026-13-45T99:00:00Z", "ce_time is no time"),
        ("ce_time", b"0001-01-01T00:00:00+23:59", "ce_time is no time"),
        ("ce_time", "٢٠٢٦-11-25T17:46:51Z".encode(), "ce_time is no time"),
        ("ce_dataschema", b"urn:x:latest", "ce_dataschema does not end in a version"),
        ("ce_dataschema", b"2", "ce_dataschema does not end in a version"),
        ("content-type", b"application/avro", "content-type is not application/json"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(name: str, value: bytes, said: str) -> None:
    told = refusal([*(GOOD | {name: value}).items()])
    assert said in told
    assert value.decode(errors="replace") not in told or len(value) == 1


def test_twice_too_many_and_nothing() -> None:
    twice: Headers = [*GOOD.items(), ("CE_ID", b"other")]
    assert "ce_id is there twice" in refusal(twice)
    assert "headers, more than" in refusal([("x", b"")] * (MOST_HEADERS + 1))
    assert "has no data" in refusal([*GOOD.items()], None)


@pytest.mark.parametrize(
    ("schema", "version"),
    [("https://x.example/hotel/room/v3.json", 3), ("https://x.example/s/12", 12), (None, 1)],
)
def test_versions_of_others(schema: str | None, version: int) -> None:
    headers = {name: value for name, value in GOOD.items() if name != "ce_dataschema"}
    if schema:
        headers["ce_dataschema"] = schema.encode()
    assert envelope(record([*headers.items()])).version == version


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*GOOD, "traceparent", "other"]) | st.text(max_size=8),
            st.none() | st.binary(max_size=40) | st.sampled_from([*GOOD.values()]),
        ),
        max_size=12,
    ),
    st.none() | st.binary(max_size=40),
)
def test_garbage_ends_in_a_sentence_or_an_envelope(headers: Headers, value: bytes | None) -> None:
    with suppress(Unreadable):
        found = envelope(record(headers, value))
        assert found.id
        assert found.version >= 1


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(
    words, words, words,
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.dictionaries(words, st.integers() | words | st.none(), max_size=4),
)  # fmt: skip
def test_both_readers_say_the_same(
    id_: str, source: str, type_: str, at: datetime, zone: int, data: dict[str, object]
) -> None:
    attributes = {
        "id": id_,
        "source": source,
        "type": type_,
        "specversion": "1.0",
        "time": at.replace(tzinfo=timezone(timedelta(minutes=zone))),
        "datacontenttype": "application/json",
        "subject": "r-1",
        "correlationid": "c1",
    }
    sent = to_binary(CloudEvent(attributes, data), JSONFormat())
    ours = envelope(record([*sent.headers.items()], bytes(sent.value)))
    theirs = from_binary(KafkaMessage(sent.headers, None, sent.value), JSONFormat())
    assert (ours.id, ours.source, ours.type) == (
        theirs.get_id(),
        theirs.get_source(),
        theirs.get_type(),
    )
    assert ours.time == theirs.get_time()
    assert ours.subject == theirs.get_subject()
    assert ours.meta["correlation"] == theirs.get_extension("correlationid")
    assert ours.data == sent.value
