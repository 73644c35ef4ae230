"""The flat reader gives what kafka-python's own reader gives, and refuses what it refuses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from consumer.event import Record, TopicPartition
from consumer.records import FlatPartitionRecords

AT = TopicPartition("t", 3)
NO_CODEC, GZIP, LZ4 = 0, 1, 3

headers = st.lists(
    st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5))), max_size=3
)
fields = st.one_of(st.none(), st.binary(max_size=40), st.just(b"x" * 300), st.just(b"y" * 20_000))
records = st.tuples(st.integers(0, 2**40), fields, fields, headers)


def batches(found: list[list[Any]], codec: int) -> bytes:
    built, offset = b"", 0
    for batch in found:
        builder = MemoryRecordsBuilder(2, codec, 1 << 20, offset=offset)
        for timestamp, key, value, heads in batch:
            builder.append(timestamp, key, value, heads)
            offset += 1
        builder.close()
        built += bytes(builder.buffer())
    return built


def read(reader: Any, data: bytes, start: int = 0, most: int | None = None) -> list[list[Any]]:
    part = reader(start, AT, MemoryRecords(data))
    taken = []
    while part:
        found = part.take(most)
        taken.append(
            [[r.offset, r.key, r.value, list(r.headers), _time(r)] for r in found]
            + [part.next_fetch_offset]
        )
    return taken


def _time(record: Any) -> int:
    if isinstance(record, Record):
        return record.timestamp_ms
    return int(record.timestamp)


@given(
    st.lists(st.lists(records, min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from([NO_CODEC, GZIP, LZ4]),
    st.integers(0, 5),
    st.one_of(st.none(), st.integers(1, 5)),
)
@settings(max_examples=150, deadline=None)
def test_both_readers_agree(
    found: list[list[Any]], codec: int, start: int, most: int | None
) -> None:
    data = batches(found, codec)
    assert read(FlatPartitionRecords, data, start, most) == read(
        Fetcher.PartitionRecords, data, start, most
    )


@given(st.lists(records, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_a_flipped_byte_is_refused(found: list[Any], data: st.DataObject) -> None:
    built = bytearray(batches([found], NO_CODEC))
    at = data.draw(st.integers(17, len(built) - 1))
    built[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptRecordError):
        read(FlatPartitionRecords, bytes(built))
