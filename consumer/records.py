"""
A flat reader for Kafka's record batches (message format 2), put under the stock `KafkaConsumer`.

The stock reader makes three objects and some twenty calls for each record; this one makes one
`Record`. Checks and rules are the stock reader's own: CRC, aborted transactions, control batches.
Format: Apache Kafka, `DefaultRecordBatch` and `DefaultRecord`. It hooks a private method, so
`tests/contracts/test_record_readers.py` holds it against the stock reader, and an unknown version
of kafka-python falls back to that one (`use_flat_reader`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import kafka
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch

from consumer.event import Record, TopicPartition

KNOWN_VERSIONS = ("3.0.",)  # of kafka-python: whose private parts were read

Headers = Sequence[tuple[str, bytes | None]]


def use_flat_reader(consumer: kafka.KafkaConsumer) -> bool:
    """True if the consumer now yields `Record`; False if it keeps its stock reader."""
    if not kafka.__version__.startswith(KNOWN_VERSIONS):
        return False
    consumer._fetcher.PartitionRecords = FlatPartitionRecords
    return True


def record_of(stock: Any) -> Record:
    """That of the stock reader, as the flat one makes it."""
    at = TopicPartition(stock.topic, stock.partition)
    return Record(at, stock.offset, stock.key, stock.value, stock.headers, stock.timestamp)


def log_id(consumer: kafka.KafkaConsumer, topic: str) -> str:
    """
    Kafka's id of a topic: one that was made anew has another. Empty where it is not known, as
    after an answer about other topics.
    """
    return str(consumer._client.cluster.topic_id(topic) or "")


class FlatPartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # of an untyped package
    """The stock class with the innermost loop replaced."""

    def take(self, n: int | None = None) -> list[Record]:
        records: list[Record] = super().take(n)
        if records and self.record_iterator is not None:
            self.next_fetch_offset = records[-1].offset + 1
        return records

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[Record]:
        at = TopicPartition(tp.topic, tp.partition)
        last = None
        while (batch := records.next_batch()) is not None:
            if not isinstance(batch, DefaultRecordBatch):
                raise CorruptRecordError(f"{at}: message format {batch.magic} is not supported")
            last = batch
            if not batch.validate_crc():
                raise CorruptRecordError(f"{at}: a batch at {batch.base_offset} fails its CRC")
            self.leader_epoch = batch.leader_epoch
            if self._is_hidden(batch):
                self.next_fetch_offset = batch.next_offset
                continue
            flat = read_batch(at, batch)
            self.records_read += len(flat)
            self.bytes_read += batch.size_in_bytes
            yield from flat
        if last is not None:
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_hidden(self, batch: DefaultRecordBatch) -> bool:
        """Aborted transactions and control batches, as the stock reader judges them."""
        if self.isolation_level == 1 and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def read_batch(at: TopicPartition, batch: DefaultRecordBatch) -> list[Record]:
    """All records of one batch. Raises CorruptRecordError if its lengths do not add up."""
    batch._maybe_uncompress()
    data = bytes(batch._buffer)
    append_time_ms = batch.max_timestamp if batch.timestamp_type == 1 else None
    try:
        return _read(
            at,
            data,
            batch._pos,
            batch.records_count,
            batch.base_offset,
            batch.first_timestamp,
            append_time_ms,
        )
    except (IndexError, ValueError) as error:
        raise CorruptRecordError(f"{at}: a record at {batch.base_offset} is cut: {error}") from None


def _read(  # noqa: C901, PLR0915 - flat on purpose: a call a field would double its cost
    at: TopicPartition,
    data: bytes,
    pos: int,
    count: int,
    base_offset: int,
    first_timestamp_ms: int,
    append_time_ms: int | None,
) -> list[Record]:
    # Zigzag varints are read in place, up to the two bytes that nearly all of them have.
    records: list[Record] = []
    append = records.append
    for _ in range(count):
        if (low := data[pos]) < 128:
            end = pos + 1 + (low >> 1)
            pos += 2  # and the attributes, which mean nothing
        elif (high := data[pos + 1]) < 128:
            end = pos + 2 + ((low & 127 | high << 7) >> 1)
            pos += 3
        else:
            end, pos = _varint(data, pos)
            end += pos
            pos += 1
        if (low := data[pos]) < 128:
            delta_ms = (low >> 1) ^ -(low & 1)
            pos += 1
        else:
            delta_ms, pos = _varint(data, pos)
        if (low := data[pos]) < 128:
            offset = base_offset + (low >> 1)
            pos += 1
        elif (high := data[pos + 1]) < 128:
            offset = base_offset + ((low & 127 | high << 7) >> 1)
            pos += 2
        else:
            offset, pos = _varint(data, pos)
            offset += base_offset
        if (low := data[pos]) < 128:
            size = (low >> 1) ^ -(low & 1)
            pos += 1
        else:
            size, pos = _varint(data, pos)
        key = None if size < 0 else data[pos : (pos := pos + size)]
        if (low := data[pos]) < 128:
            size = (low >> 1) ^ -(low & 1)
            pos += 1
        elif (high := data[pos + 1]) < 128:
            size = (low & 127 | high << 7) >> 1
            pos += 2
        else:
            size, pos = _varint(data, pos)
        value = None if size < 0 else data[pos : (pos := pos + size)]
        headers: Headers = ()
        if data[pos]:
            headers, pos = _headers(data, pos)
        else:
            pos += 1
        if pos != end:
            raise ValueError("its length is wrong")
        timestamp_ms = first_timestamp_ms + delta_ms if append_time_ms is None else append_time_ms
        append(Record(at, offset, key, value, headers, timestamp_ms))
    if pos != len(data):
        raise ValueError(f"{len(data) - pos} bytes are left over")
    return records


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    """Zigzag, seven bits a byte, at most ten bytes."""
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), pos
        shift += 7
        if shift > 63:
            raise ValueError("a number does not end")


def _headers(data: bytes, pos: int) -> tuple[list[tuple[str, bytes | None]], int]:
    count, pos = _varint(data, pos)
    if count < 0:
        raise ValueError("a negative count of headers")
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        if (low := data[pos]) < 128:
            size = (low >> 1) ^ -(low & 1)
            pos += 1
        else:
            size, pos = _varint(data, pos)
        if size < 0:
            raise ValueError("a header without a name")
        name = data[pos : (pos := pos + size)].decode()
        if (low := data[pos]) < 128:
            size = (low >> 1) ^ -(low & 1)
            pos += 1
        else:
            size, pos = _varint(data, pos)
        value = None if size < 0 else data[pos : (pos := pos + size)]
        headers.append((name, value))
    return headers, pos
