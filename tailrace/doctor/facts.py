"""What the checks know of each server: values, read once, not judged. `where` has no secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from connectors import catalogue
from connectors.errors import Finding
from connectors.lifecycle import State
from connectors.plan import Plan
from connectors.prepare import plan_source
from connectors.spec import ConnectorSpec
from consumer.event import TopicPartition


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is open now, and for how long."""

    pid: int
    application: str
    age_s: float


@dataclass(frozen=True)
class Source:
    """`kept_bytes` is the limit on what a slot may retain; None: there is none."""

    spec: ConnectorSpec
    where: str
    catalogue: catalogue.Source
    senders: int
    max_senders: int
    kept_bytes: int | None
    longest: Transaction | None
    sees_all_sessions: bool
    ahead_s: float

    @cached_property
    def plan(self) -> Plan:
        """What a connector still needs of this source, and what speaks against it."""
        return plan_source(self.spec, self.catalogue)


@dataclass(frozen=True, slots=True)
class Connect:
    """`running`: the connector's settings, None if there is none. `is_guarded`: by TLS or login."""

    spec: ConnectorSpec
    where: str
    is_guarded: bool
    public_hosts: tuple[str, ...]
    plugins: Mapping[str, str]
    running: Mapping[str, str] | None
    states: tuple[State, ...]
    ahead_s: float = 0.0
    refuses_mode: str | None = None
    """What Connect says against its exactly-once mode, where that is asked for."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What source and Connect say together: is anything lost between them, and does it flow?"""

    spec: ConnectorSpec
    is_running: bool
    gaps: tuple[Finding, ...]
    beat_age_ms: int | None


@dataclass(frozen=True, slots=True)
class Topic:
    """`settings` is None where the brokers keep them from us; `leaderless` and `thin` count."""

    partitions: int
    replicas: int
    leaderless: int
    thin: int
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Kafka:
    """`topics` maps the wanted names to what is there. `logs`: first and next offset."""

    spec: ConnectorSpec
    bootstrap: str
    brokers: int
    broker_settings: Mapping[str, str] | None
    topics: Mapping[str, Topic | None]
    logs: Mapping[TopicPartition, tuple[int, int]]

    @property
    def where(self) -> str:
        return f"{self.brokers} broker(s) at {self.bootstrap}"

    @property
    def there(self) -> Mapping[str, Topic]:
        return {name: topic for name, topic in self.topics.items() if topic is not None}


@dataclass(frozen=True, slots=True)
class Redis:
    """`needed_bytes` is the most that this pipeline's keys take. `saves`: None where not told."""

    where: str
    policy: str
    role: str
    used_bytes: int
    limit_bytes: int
    needed_bytes: int
    appends: bool
    saves: str | None
    write_error: str | None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something on a target table that the source's changes may run into."""

    kind: str
    relation: str
    name: str


@dataclass(frozen=True, slots=True)
class Sink:
    """
    `offsets` is None where the sink's own table is not there. `workers`: as configured. `model` is
    the state of the read model that the sink keeps, None where it keeps none.
    """

    name: str
    where: str
    workers: int
    topics: tuple[str, ...]
    is_read_only: bool
    offsets: Mapping[TopicPartition, int] | None
    missing_rights: Mapping[str, tuple[str, ...]]
    obstacles: tuple[Obstacle, ...]
    ahead_s: float
    unlogged: tuple[str, ...] = ()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A target's tables beside the source's: what is missing, refused, or wanted in vain."""

    changes: tuple[str, ...]
    refusal: str | None
    unfilled: tuple[str, ...]
