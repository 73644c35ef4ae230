"""
What is known at one moment, as plain values: the page, the API, `top` and `lag --json` show these.

None means "not known", never 0. Times ending in `_at_s` and `_since_s` are seconds since 1970 on
the sampler's clock; lags are differences on the source's clock.
"""

import msgspec

from supervision.waiting import Waiting
from tailrace.watch.states import State, Verdict, is_news


class Stage(msgspec.Struct, frozen=True):
    """One stage of a typical change's way, corrected for the skew of the clocks."""

    name: str
    seconds: float


class Waterfall(msgspec.Struct, frozen=True):
    """Commit at the source until booked. `visible_s`: until durable in the sink, the sum of all
    stages but the last. `slowest` is the name of a stage."""

    stages: tuple[Stage, ...]
    visible_s: float
    slowest: str
    samples: int


class Partition(msgspec.Struct, frozen=True):
    """`applied` is the sink's next offset, `end` that after Kafka's last record."""

    topic: str
    partition: int
    verdict: Verdict
    applied: int | None
    end: int | None
    behind_records: int | None
    lag_s: float | None
    is_hot: bool
    unknown: str | None


class Worker(msgspec.Struct, frozen=True):
    """One worker process, as it says itself; `where` is the address that was asked."""

    where: str
    worker: int
    pid: int
    started_at_s: float
    ticked_at_s: float
    held_because: str | None
    redis_away: str | None
    partitions: int


class Sink(msgspec.Struct, frozen=True):
    """
    Rates are over the window. `lag_s` is the age of the oldest change that is not applied; 0 only
    while heartbeats of the source arrive in Kafka, since else nobody knows what is not there yet.
    `duplicates` counts what was dropped as a repeat since the workers began, by keys and guards.
    `waiting`: what of sagas and of the supervisor is in the sink's database.
    """

    name: str
    verdict: Verdict
    partitions: tuple[Partition, ...]
    workers: tuple[Worker, ...]
    behind_records: int | None
    lag_s: float | None
    eta_s: float | None
    arrived_per_s: float | None
    applied_per_s: float | None
    received: int
    written: int
    duplicates: int
    parked: int | None
    retries: int
    waterfall: Waterfall | None
    waiting: Waiting = Waiting()


class Task(msgspec.Struct, frozen=True):
    """One task of the connector, or the connector itself; `trace` is its first line."""

    name: str
    state: str
    trace: str


class Budget(msgspec.Struct, frozen=True):
    """
    The log that the slot keeps, in bytes. `left_bytes` until Postgres would drop it
    (max_slot_wal_keep_size), None without a limit; `left_s` at the present rate, None if none.
    `warning` says that little is left, and what helps; `is_critical`: very little.
    """

    retained_bytes: int | None
    left_bytes: int | None
    written_per_s: float | None
    left_s: float | None
    warning: str | None
    is_critical: bool = False


class Source(msgspec.Struct, frozen=True):
    """Slot, connector, and the way into Kafka. LSNs are numbers."""

    slot: str
    verdict: Verdict
    connector: str | None
    tasks: tuple[Task, ...]
    is_read: bool | None
    reader: str | None
    wal_status: str | None
    confirmed_lsn: int | None
    current_lsn: int | None
    heartbeat_in_kafka_age_s: float | None
    budget: Budget
    tables: tuple[str, ...]


class Skew(msgspec.Struct, frozen=True):
    """A clock that differs from the sampler's: ahead is positive; good to `within_s`."""

    clock: str
    ahead_s: float
    within_s: float


class Server(msgspec.Struct, frozen=True):
    """A server that was asked. `away`: why it gave no answer."""

    name: str
    away: str | None
    seen_at_s: float | None

    def answers(self, snapshot: "Snapshot") -> bool | None:
        """None: neither an answer of late nor an error."""
        if self.away:
            return False
        return is_news(self.seen_at_s, snapshot.at_s, snapshot.interval_s) or None


class Pipeline(msgspec.Struct, frozen=True):
    """One pipeline. `skews` are those worth showing; `servers` are all that were asked."""

    name: str
    verdict: Verdict
    source: Source
    sinks: tuple[Sink, ...]
    servers: tuple[Server, ...]
    skews: tuple[Skew, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """Everything, worst first."""

    at_s: float
    interval_s: float
    pipelines: tuple[Pipeline, ...]

    @property
    def worst(self) -> State:
        """UNKNOWN of nothing."""
        states = [pipeline.verdict.state for pipeline in self.pipelines]
        return max(states, key=lambda state: state.badness, default=State.UNKNOWN)
