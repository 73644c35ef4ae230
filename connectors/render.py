"""Fills `source.json` with a specification. Pure but for reading the template."""

import json
import re
from functools import cache
from pathlib import Path
from string import Template

from psycopg import sql

from connectors.lossless import CONVERTER_CLASS, HEADERS_CLASS, QUEUE
from connectors.spec import LOG, OUTBOX, ConnectorSpec, commands_topic
from connectors.statements import statements

HEARTBEAT = "heartbeat"
SIGNAL = "signal"

_HEADERS = {
    "id": "ce_id",
    "type": "ce_type",
    "ce_source": "ce_source",
    "at": "ce_time",
    "aggregateid": "ce_subject",
    "aggregatetype": "ce_aggregatetype",
    "dataschema": "ce_dataschema",
    "correlationid": "ce_correlationid",
    "causationid": "ce_causationid",
    "traceparent": "traceparent",
}
"""What becomes of an outbox row's columns."""

_SECRET = re.compile(r"password|secret|credential|token|jaas|private|placeholder", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{[^}]*\}")


def render(spec: ConnectorSpec) -> dict[str, str]:
    """The connector's settings. Those that come out empty (no excluded columns) are left out."""
    wanted = dict(_template("source.json"))
    if spec.exactly_once:
        wanted |= _template("source-exactly-once.json")
    if spec.has_outbox:
        wanted |= _template("outbox.json")
    if spec.has_log:
        wanted |= _template("log.json")
    values = _values(spec)
    filled = {
        Template(name).substitute(values): Template(text).substitute(values)
        for name, text in wanted.items()
    }
    return {name: text for name, text in (filled | dict(spec.settings)).items() if text}


def masked(setting: str, value: str | None) -> str | None:
    """The value as it may be shown: secrets are starred, references to secrets are not."""
    if value is None or not _SECRET.search(setting) or _REFERENCE.fullmatch(value):
        return value
    return "********"


def heartbeat_query(spec: ConnectorSpec) -> str:
    """The statement that Debezium runs at every heartbeat, on one line."""
    query = statements("heartbeat.sql")["beat"].format(
        heartbeat=sql.Identifier(spec.control_schema, HEARTBEAT), slot=sql.Literal(spec.slot)
    )
    return " ".join(query.as_string(None).split())


@cache
def _template(file: str) -> dict[str, str]:
    content = (Path(__file__).parent / file).read_text(encoding="utf-8")
    template: dict[str, str] = json.loads(content)
    return template


def _values(spec: ConnectorSpec) -> dict[str, str]:
    control = [f"{spec.control_schema}.{table}" for table in (HEARTBEAT, SIGNAL)]
    prefix = re.escape(spec.topic_prefix)
    excluded = [f"{t.full}.{c}" for t in spec.tables for c in t.exclude_columns]
    single = [rf"{prefix}\.(transaction|message)", rf"__debezium-heartbeat\.{prefix}"]
    single.append(rf"{prefix}\.{re.escape(spec.control_schema)}\..*")
    return {
        "name": spec.name,
        "connector_class": spec.connector_class,
        "queue": QUEUE if spec.lossless else "",
        "queue_bytes": "" if spec.lossless else "33554432",
        "host": spec.host,
        "port": str(spec.port),
        "database": spec.database,
        "user": spec.user,
        "password": spec.password,
        "sslmode": spec.sslmode,
        "topic_prefix": spec.topic_prefix,
        "tables": ",".join(re.escape(t) for t in [*(t.full for t in spec.tables), *control]),
        "excluded_columns": ",".join(re.escape(column) for column in excluded),
        "key_columns": ";".join(
            f"{re.escape(t.full)}:{','.join(t.key)}" for t in spec.tables if t.key
        ),
        "publication": spec.publication,
        "slot": spec.slot,
        "failover_slot": _flag(spec.failover_slot),
        "snapshot": spec.snapshot,
        "control_schema": spec.control_schema,
        "heartbeat_interval_ms": str(spec.heartbeat_interval_ms),
        "heartbeat_query": heartbeat_query(spec),
        "transaction_metadata": _flag(spec.transaction_metadata),
        "placeholder": spec.placeholder,
        "partitions": str(spec.partitions),
        "replication_factor": str(spec.replication_factor),
        "min_insync_replicas": str(min(2, spec.replication_factor - 1) or 1),
        "retention_ms": str(spec.retention_ms),
        "single_partition_topics": ",".join(single),
        "outbox": OUTBOX,
        "outbox_topic": rf"{prefix}\.{re.escape(OUTBOX)}",
        "log_topic": rf"{prefix}\.{re.escape(LOG)}",
        "events_topic": spec.events_topic,
        "events_pattern": re.escape(spec.events_topic),
        "commands_topic": commands_topic(spec.topic_prefix, ""),
        "headers": ",".join(f"{column}:header:{header}" for column, header in _HEADERS.items()),
        "text_or_json": CONVERTER_CLASS,
        "cloud_event_headers": HEADERS_CLASS,
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"
