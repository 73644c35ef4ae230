"""What the servers are told in every kind of stack; addresses and folders are not among it."""

import json
from collections.abc import Mapping
from pathlib import Path

LOSSLESS = Path(__file__).parents[1] / "connectors" / "lossless" / "dist"
"""Where the wrapper plugin's jar is, beside us; it belongs into the same folder as Debezium."""

_LARGEST_RECORD_BYTES = 32 * 1024 * 1024
_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
_PROVIDER = "org.apache.kafka.common.config.provider"

KAFKA: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "num.partitions": 1,
    "auto.create.topics.enable": False,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # A killed broker may come back only when its old session has run out.
    "broker.session.timeout.ms": 2000,
    "broker.heartbeat.interval.ms": 500,
    "message.max.bytes": _LARGEST_RECORD_BYTES,
    "replica.fetch.max.bytes": _LARGEST_RECORD_BYTES,
}
"""One node. One partition and one replica for a topic unless its creator says otherwise."""

CONNECT: Mapping[str, object] = {
    "group.id": "connect",
    "plugin.discovery": "service_load",
    "key.converter": _CONVERTER,
    "key.converter.schemas.enable": False,
    "value.converter": _CONVERTER,
    "value.converter.schemas.enable": False,
    "config.storage.topic": "connect-configs",
    "config.storage.replication.factor": 1,
    "offset.storage.topic": "connect-offsets",
    "offset.storage.replication.factor": 1,
    "offset.storage.partitions": 1,
    "status.storage.topic": "connect-status",
    "status.storage.replication.factor": 1,
    "status.storage.partitions": 1,
    "offset.flush.interval.ms": 2000,
    "scheduled.rebalance.max.delay.ms": 0,
    "session.timeout.ms": 3000,
    "heartbeat.interval.ms": 1000,
    "connector.client.config.override.policy": "All",
    "config.providers": "file,env",
    "config.providers.file.class": f"{_PROVIDER}.FileConfigProvider",
    "config.providers.env.class": f"{_PROVIDER}.EnvVarConfigProvider",
    "config.providers.env.param.allowlist.pattern": "TAILRACE_.*",
}
"""One worker that answers quickly; JSON without schemas; secrets by `${file:…}` or `${env:…}`."""

POSTGRES: Mapping[str, object] = {
    "wal_level": "logical",
    "max_connections": 100,
    "max_replication_slots": 20,
    "max_wal_senders": 20,
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""A cluster that Debezium can read."""

POSTGRES_INITDB = (
    *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
    "--no-sync",
)
"""Arguments of initdb: one collation everywhere, by code points."""

REDIS = """\
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""
"""Refuses writes when memory is short instead of dropping keys."""


def as_text(value: object) -> str:
    """As a properties file, a command line or a variable has it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
