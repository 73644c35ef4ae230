"""The rows that everything in the bench moves: 13 columns of everyday types, about 700 B an event."""

import json
from collections.abc import Iterator

TABLE = "public.bench"
COLUMNS = (
    "id bigint PRIMARY KEY, account int NOT NULL, name text NOT NULL, amount numeric(12,2) NOT NULL,"
    " currency char(3) NOT NULL, created_at timestamptz NOT NULL, note text, quantity int NOT NULL,"
    " attempt int NOT NULL, score float8, active boolean NOT NULL, reference uuid NOT NULL,"
    " details jsonb NOT NULL"
)
LSN = 24_000_000


def row(i: int) -> dict[str, object]:
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


def events(count: int, prefix: str) -> Iterator[tuple[bytes, bytes]]:
    """Inserts of `count` rows, a thousand to a transaction: key and value of each event."""
    for i in range(count):
        lsn = LSN + i * 120
        source = {
            "version": "3.7.0.Final",
            "connector": "postgresql",
            "name": prefix,
            "ts_ms": 1_790_000_000_000 + i // 50,
            "snapshot": None,
            "db": "bench",
            "sequence": json.dumps([str(LSN + i // 1000 * 120_000 - 8), str(lsn)]),
            "ts_us": 1_790_000_000_000_000 + i * 20,
            "ts_ns": 1_790_000_000_000_000_000 + i * 20_000,
            "schema": "public",
            "table": "bench",
            "txId": 1000 + i // 1000,
            "lsn": lsn,
            "xmin": None,
        }
        value = {
            "before": None,
            "after": row(i),
            "source": source,
            "op": "c",
            "ts_ms": 1_790_000_000_500,
            "ts_us": 1_790_000_000_500_000,
            "ts_ns": 1_790_000_000_500_000_000,
            "transaction": None,
        }
        yield b'{"id":%d}' % i, json.dumps(value, separators=(",", ":")).encode()
