"""Short ways to say what a test is about; everything else about a record is made up here."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from consumer.decode import DebeziumDecoder
from consumer.event import FIRST, Batch, ChangeEvent, Mark, Record, TopicPartition
from consumer.plan import plan

TABLE = "public.t"
P0 = TopicPartition("shop.public.t", 0)
P1 = TopicPartition("shop.public.t", 1)


def value(
    op: str,
    *,
    after: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    lsn: int | None = 100,
    commit: int | None = 90,
    table: str = TABLE,
    snapshot: str | None = None,
    ts_us: int = 1_700_000_000_000_000,
) -> bytes:
    """An event's value as Debezium writes it with our settings."""
    schema, _, name = table.partition(".")
    sequence = None if lsn is None else json.dumps([commit and str(commit), str(lsn)])
    source = {
        "schema": schema,
        "table": name,
        "lsn": lsn,
        "sequence": sequence,
        "snapshot": snapshot,
        "ts_us": ts_us,
    }
    return json.dumps({"op": op, "before": before, "after": after, "source": source}).encode()


def key(**columns: Any) -> bytes:
    return json.dumps(columns, separators=(",", ":")).encode()


class Log:
    """A topic's records, with offsets that count up, and decoded like the worker does."""

    def __init__(self, *tables: str, marks: Mapping[TopicPartition, Mark] | None = None) -> None:
        self.decoder = DebeziumDecoder(tables or (TABLE,))
        self.next: dict[TopicPartition, int] = {P0: 0, P1: 0}
        self.restart(marks or {})

    def restart(self, marks: Mapping[TopicPartition, Mark]) -> None:
        started = {P0: FIRST, P1: FIRST} | dict(marks)
        self.decoder.start(started)
        self.next = {at: mark.next_offset for at, mark in started.items()}

    def record(self, key: bytes | None, value: bytes | None, at: TopicPartition = P0) -> Record:
        offset = self.next[at]
        self.next[at] = offset + 1
        return Record(at, offset, key, value, (), 1_700_000_000_000)

    def batch(self, *records: Record) -> Batch:
        polled = {
            at: list(found) for at, found in groupby(sorted(records, key=_place), lambda r: r.at)
        }
        begins = {at: found[0].offset for at, found in polled.items()}
        events, letters = self.decoder.decode(polled)
        assert not letters, letters
        return plan(events, begins, self.decoder.marks(polled))

    def changes(self, *records: Record) -> Sequence[ChangeEvent]:
        return self.batch(*records).changes


def _place(record: Record) -> tuple[TopicPartition, int]:
    return record.at, record.offset
