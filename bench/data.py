"""The rows that everything in the bench moves: 13 everyday columns, about 700 B an event."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

TABLE = "public.bench"
ROWS_PER_TRANSACTION = 1000
_LSN = 24_000_000
_ROW_BYTES = 120  # of log between one row and the next
_START_US = 1_790_000_000_000_000

_encode = msgspec.json.encode


def row(i: int) -> dict[str, Any]:
    """Row `i` as Debezium writes it with our settings."""
    return {
        "id": i,
        "account": i % 9973,
        "name": f"customer {i % 5000}",
        "amount": f"{i % 100000}.{i % 100:02d}",
        "currency": ("EUR", "USD", "CHF")[i % 3],
        "created_at": f"2026-01-{i % 28 + 1:02d}T10:{i % 60:02d}:00.{i % 1000000:06d}Z",
        "note": f"note number {i} with some words in it",
        "quantity": i % 17,
        "attempt": i % 5,
        "score": i / 7,
        "active": i % 2 == 0,
        "reference": f"{i:08x}-0000-4000-8000-{i:012x}",
        "details": json.dumps({"channel": "web", "basket": i % 99, "tags": ["a", "b"]}),
    }


def position(i: int) -> tuple[int, int]:
    """LSNs of the last commit before row `i` was inserted, and of the insert."""
    first = i - i % ROWS_PER_TRANSACTION
    return _LSN + first * _ROW_BYTES - 8, _LSN + i * _ROW_BYTES


def events(
    rows: range, prefix: str, *, numeric_as_number: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """
    Key and value of the insert of each row; the same bytes whenever they are made.

    `numeric_as_number`: what `decimal.handling.mode=precise` and `decimal.format=NUMERIC` give,
    for a reader that takes a numeric column from nothing else.
    """
    for i in rows:
        after = row(i)
        if numeric_as_number:
            after["amount"] = msgspec.Raw(after["amount"].encode())
        commit, lsn = position(i)
        committed_us = _START_US + i // ROWS_PER_TRANSACTION * 20_000
        source = {
            "version": "3.7.0.Final",
            "connector": "postgresql",
            "name": prefix,
            "ts_ms": committed_us // 1000,
            "snapshot": None,
            "db": "bench",
            "sequence": f'["{commit}","{lsn}"]',
            "ts_us": committed_us,
            "ts_ns": committed_us * 1000,
            "schema": "public",
            "table": "bench",
            "txId": 1000 + i // ROWS_PER_TRANSACTION,
            "lsn": lsn,
            "xmin": None,
        }
        value = {
            "before": None,
            "after": after,
            "source": source,
            "op": "c",
            "ts_ms": committed_us // 1000 + 500,
            "ts_us": committed_us + 500_000,
            "ts_ns": (committed_us + 500_000) * 1000,
            "transaction": None,
        }
        yield b'{"id":%d}' % i, _encode(value)


def copy_lines(rows: range) -> bytes:
    """The same rows for COPY in its text format, each with its position as the sink adds it."""
    lines = []
    for i in rows:
        lines.append("\t".join(map(str, (*row(i).values(), 0, *position(i)))))
    return "\n".join([*lines, ""]).encode()
