"""
The peer: Debezium's JDBC sink connector, on the same topic into the same table.

It needs a schema, which our topic does not carry. As most have it, each event brings its own; at
its best the converter takes it from its settings (KIP-1054), which spares 3 KB of JSON an event.
"""

import json
import time
from typing import Any
from urllib.parse import urlsplit

from bench import data
from bench.lab import Lab
from bench.runs import Run, watched
from connectors.lifecycle import refuse_failed, states
from connectors.rest import Connect

DEFAULTS: dict[str, str] = {}
"""As it comes: batches of 500, a statement a row."""

BATCHES = {
    "batch.size": "5000",
    "consumer.override.max.poll.records": "10000",
    "consumer.override.fetch.max.bytes": "67108864",
    "consumer.override.max.partition.fetch.bytes": "8388608",
}
"""Larger batches, of enough records a poll to fill them."""


def best(prefix: str) -> dict[str, str]:
    """The best that was found, for a topic of bare events: the schema comes from the settings."""
    topic = f"{prefix}.{data.TABLE}"
    return BATCHES | {
        "dialect.postgres.unnest.insert.enabled": "true",
        "key.converter.schema.content": json.dumps(_key_schema(topic)),
        "value.converter.schema.content": json.dumps(_value_schema(topic)),
    }


def topics(lab: Lab, events: int) -> tuple[str, str]:
    """Prefixes of two topics with the same events: bare, and each with its schema."""
    bare, carrying = f"{lab.name}_bare", f"{lab.name}_carrying"
    for prefix in (bare, carrying):
        made = data.events(range(events), prefix, numeric_as_number=True)
        if prefix == carrying:
            topic = f"{prefix}.{data.TABLE}"
            schemas = [_key_schema(topic), _value_schema(topic)]
            heads = [b'{"schema":%b,"payload":' % json.dumps(each).encode() for each in schemas]
            made = ((heads[0] + key + b"}", heads[1] + value + b"}") for key, value in made)
        lab.produce(prefix, made, events)
    return bare, carrying


def sink(lab: Lab, prefix: str, events: int, what: str, settings: dict[str, str]) -> Run:
    """
    Settings are put over what every run needs, a topic with a schema in each event.

    From its first batch that is visible to its last. Its start, up to that batch, is left out:
    it is a JVM's, not that of a running system.
    """
    lab.new_table()
    name = f"jdbc{time.monotonic_ns()}"
    with watched(lab, what) as run, Connect(lab.at.connect) as connect:
        connect.put(name, _config(lab, f"{prefix}.{data.TABLE}") | settings)
        try:
            seen = lab.await_row(
                what, events - 1, lambda: refuse_failed(name, states(connect, name))
            )
        finally:
            connect.delete(name)
        run.seconds = seen.last_at_s - seen.first_at_s
        run.events = events - 1 - seen.first_row
    lab.expect_rows(events)
    return run


def _config(lab: Lab, topic: str) -> dict[str, str]:
    url = urlsplit(lab.target)
    converter = "org.apache.kafka.connect.json.JsonConverter"
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": topic,
        "connection.url": f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}",
        "connection.username": url.username or "",
        "connection.password": f"${{file:{lab.at.secrets}:target.password}}",
        "insert.mode": "upsert",
        "primary.key.mode": "record_key",
        "schema.evolution": "none",
        "collection.name.format": data.TABLE,
        "key.converter": converter,
        "key.converter.schemas.enable": "true",
        "value.converter": converter,
        "value.converter.schemas.enable": "true",
        "value.converter.decimal.format": "NUMERIC",
    }


def _field(name: str, type_: str, *, optional: bool = False, semantic: str = "") -> dict[str, Any]:
    field: dict[str, Any] = {"field": name, "type": type_, "optional": optional}
    return field | ({"name": semantic, "version": 1} if semantic else {})


_ROW = (
    _field("id", "int64"),
    _field("account", "int32"),
    _field("name", "string"),
    _field("amount", "bytes", semantic="org.apache.kafka.connect.data.Decimal")
    | {"parameters": {"scale": "2", "connect.decimal.precision": "12"}},
    _field("currency", "string"),
    _field("created_at", "string", semantic="io.debezium.time.ZonedTimestamp"),
    _field("note", "string", optional=True),
    _field("quantity", "int32"),
    _field("attempt", "int32"),
    _field("score", "double", optional=True),
    _field("active", "boolean"),
    _field("reference", "string", semantic="io.debezium.data.Uuid"),
    _field("details", "string", semantic="io.debezium.data.Json"),
)


def _key_schema(topic: str) -> dict[str, Any]:
    return {"type": "struct", "name": f"{topic}.Key", "optional": False, "fields": [_ROW[0]]}


def _value_schema(topic: str) -> dict[str, Any]:
    """What Debezium's Postgres connector would send with each of these events."""
    row = {"type": "struct", "name": f"{topic}.Value", "optional": True, "fields": list(_ROW)}
    source = [
        *(_field(name, "string") for name in ("version", "connector", "name")),
        _field("ts_ms", "int64"),
        _field("snapshot", "string", optional=True),
        _field("db", "string"),
        _field("sequence", "string", optional=True),
        *(_field(name, "int64", optional=True) for name in ("ts_us", "ts_ns")),
        *(_field(name, "string") for name in ("schema", "table")),
        *(_field(name, "int64", optional=True) for name in ("txId", "lsn", "xmin")),
    ]
    return {
        "type": "struct",
        "name": f"{topic}.Envelope",
        "version": 2,
        "optional": False,
        "fields": [
            row | {"field": "before"},
            row | {"field": "after"},
            {
                "type": "struct",
                "name": "io.debezium.connector.postgresql.Source",
                "version": 1,
                "optional": False,
                "field": "source",
                "fields": source,
            },
            _field("op", "string"),
            *(_field(name, "int64", optional=True) for name in ("ts_ms", "ts_us", "ts_ns")),
        ],
    }
