"""What is wanted of one source connector, as plain frozen values, checked when they are made."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors import lossless
from connectors.errors import SPEC_INVALID, ConnectorError

Snapshot = Literal["initial", "no_data"]

PROVIDER_REFERENCE = re.compile(r"\$\{[A-Za-z0-9_.-]+:[^${}]+\}")
"""How Connect names a secret kept elsewhere: `${file:/path:key}`, `${env:NAME}`."""

EVENTS = "eventstore.events"
"""The table of an event store, whose records are keyed by stream."""

OUTBOX = "eventstore.outbox"
"""The table whose rows leave as events, each a CloudEvent, to a topic of their own."""

LOG = "sagas.log"
"""The table of what sagas and the supervisor did, whose topic is kept for ever."""

_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,120}")


@dataclass(frozen=True, slots=True)
class SourceTable:
    """
    One table to capture.

    `key`: the columns of its replica identity index, for a table without a primary key.
    `append_only`: capture it without a key; its updates and deletes carry none.
    `exclude_columns`: left out of every event. `accept_columns`: captured although some of their
    values do not survive the way (the plan's sentence says which).
    """

    schema: str
    name: str
    key: tuple[str, ...] = ()
    append_only: bool = False
    exclude_columns: tuple[str, ...] = ()
    accept_columns: tuple[str, ...] = ()

    @property
    def full(self) -> str:
        """`schema.name`, as people and topics write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSpec:
    """
    One connector. Raises ConnectorError (TR-CON-008) for values that cannot work.

    `host` and `port` are the source database as Connect's workers see it. `password` is a
    provider reference, never the secret itself: Connect's REST shows settings to whoever asks.
    `placeholder` stands for an unchanged TOAST value: random, and the same for the whole life
    of a deployment (`new_placeholder`). `settings` beat the template's.
    """

    name: str
    connect_url: str
    host: str
    database: str
    user: str
    password: str
    tables: tuple[SourceTable, ...]
    slot: str
    publication: str
    topic_prefix: str
    placeholder: str
    port: int = 5432
    sslmode: str = "prefer"
    partitions: int = 1
    replication_factor: int = 1
    retention_ms: int = 7 * 24 * 3600 * 1000
    snapshot: Snapshot = "initial"
    control_schema: str = "tailrace"
    heartbeat_interval_ms: int = 5000
    failover_slot: bool = True
    transaction_metadata: bool = False
    exactly_once: bool = False
    lossless: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for wrong in _wrong(self):
            raise ConnectorError(SPEC_INVALID, wrong)

    @property
    def heartbeat_topic(self) -> str:
        """Where the heartbeat table's changes go."""
        return f"{self.topic_prefix}.{self.control_schema}.heartbeat"

    @property
    def has_outbox(self) -> bool:
        """Whether the outbox is among the captured tables."""
        return any(table.full == OUTBOX for table in self.tables)

    @property
    def has_log(self) -> bool:
        """Whether the log of sagas is among the captured tables."""
        return any(table.full == LOG for table in self.tables)

    @property
    def events_topic(self) -> str:
        """Where the outbox's events go."""
        return events_topic(self.topic_prefix)

    @property
    def connector_class(self) -> str:
        return lossless.CONNECTOR_CLASS if self.lossless else lossless.PLAIN_CLASS


def events_topic(prefix: str) -> str:
    """Where the events of an outbox go, by the topic prefix."""
    return f"{prefix}.events"


def commands_topic(prefix: str, participant: str) -> str:
    """Where an outbox's commands to a participant of sagas go, and nothing else does."""
    return f"{prefix}.commands.{participant}"


def new_placeholder() -> str:
    """A token that no user can have stored by chance or on purpose."""
    return f"unchanged-{secrets.token_hex(12)}"


def _wrong(spec: ConnectorSpec) -> Iterable[str]:
    if not _NAME.fullmatch(spec.name):
        yield f"The connector name {spec.name!r} may have only letters, digits, '_', '.' and '-'."
    if not PROVIDER_REFERENCE.fullmatch(spec.password):
        yield (
            "The password of the source must be a reference that Connect resolves, such as"
            " ${file:/path/source.properties:password} or ${env:SOURCE_PASSWORD}, because"
            " Connect shows a connector's settings to everyone who can reach it."
        )
    if not _SLOT.fullmatch(spec.slot):
        yield f"The slot name {spec.slot!r} may have only a-z, 0-9 and '_', at most 63 of them."
    if not _PREFIX.fullmatch(spec.topic_prefix):
        yield f"Topic prefix {spec.topic_prefix!r} may have only letters, digits, '_', '.' and '-'."
    if len(spec.placeholder) < 16:
        yield "The placeholder for unchanged values needs at least 16 characters: make it random."
    yield from _wrong_tables(spec)


def _wrong_tables(spec: ConnectorSpec) -> Iterable[str]:
    if not spec.tables:
        yield f"Connector {spec.name} has no tables: name at least one to capture."
    seen: dict[str, str] = {}
    for table in spec.tables:
        if "," in table.full:
            yield f"Table {table.full!r} has a comma in its name, which Debezium cannot list."
        topic = re.sub(r"[^A-Za-z0-9._-]", "_", table.full)
        if topic in seen:
            yield f"Tables {seen[topic]} and {table.full} would share one topic: rename one."
        seen[topic] = table.full
        if spec.has_outbox and topic.startswith("commands."):
            yield f"Table {table.full} has the topic of a saga's commands: rename its schema."
        if table.key and table.append_only:
            yield f"Table {table.full} is append_only and has a key: choose one of the two."
