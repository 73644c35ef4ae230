"""
The one `pipeline.yaml`, as frozen values: what it may say, with units and defaults.

`load` reads it, lays environment and flags over it, and checks it once; everything after that may
trust its values. How a value is found and blamed is in `settings.py`, beside this file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from connectors.spec import EVENTS as EVENTS
from connectors.spec import OUTBOX
from tailrace.exits import USAGE, Problem
from tailrace.sections import PostgresSink as PostgresSink
from tailrace.sections import ProjectionSink as ProjectionSink
from tailrace.sections import Section as Section
from tailrace.sections import Sink as Sink
from tailrace.sections import SubscriberSink as SubscriberSink
from tailrace.sections import at_odds, completed
from tailrace.values import (
    Brokers,
    Count,
    Dsn,
    HttpUrl,
    Name,
    Password,
    Placeholder,
    Port,
    RedisUrl,
    Tables,
    Text,
    Token,
    names,
)


class Source(Section, frozen=True):
    """The Postgres whose changes are captured."""

    dsn: Annotated[Dsn, Meta(description="How tailrace itself reaches it (plan, verify, doctor)")]
    tables: Annotated[Tables, Meta(description="The tables to capture")]
    placeholder: Annotated[
        Placeholder,
        Meta(description="Stands for an unchanged large value; random, and never changed later"),
    ]
    connector_host: Annotated[
        Text | None, Meta(description="The host as Connect sees it, if not the DSN's")
    ] = None
    connector_port: Annotated[
        Port | None, Meta(description="The port as Connect sees it, if not the DSN's")
    ] = None
    password_reference: Annotated[
        Text | None,
        Meta(
            description="How Connect gets the password: a config-provider reference"
            " such as ${file:/etc/connect/shop.properties:password}"
        ),
    ] = None


class Connect(Section, frozen=True):
    """Kafka Connect, where Debezium runs."""

    url: Annotated[HttpUrl, Meta(description="Its REST address")] = "http://127.0.0.1:8083"
    partitions: Annotated[
        Count, Meta(description="Partitions of each table's topic: the most workers a sink can use")
    ] = 1
    replicas: Annotated[
        Count, Meta(description="Brokers that keep each topic; with 3, two must have each change")
    ] = 1
    exactly_once: Annotated[
        bool, Meta(title="true or false", description="Ask for Connect's exactly-once mode")
    ] = False


class Kafka(Section, frozen=True):
    """The brokers between Connect and the workers."""

    bootstrap: Annotated[Brokers, Meta(description="Some of the brokers; they name the others")] = (
        "127.0.0.1:9092"
    )
    tls: Annotated[
        bool, Meta(title="true or false", description="Encrypt, and check who answers")
    ] = False
    tls_ca: Annotated[
        Text | None,
        Meta(description="PEM file of who signed the brokers' certificates, if not a public one"),
    ] = None
    username: Annotated[
        Text | None, Meta(description="To log in with, by SCRAM-SHA-512; needs tls")
    ] = None
    password: Annotated[Password | None, Meta(description="For that name")] = None

    def client(self) -> dict[str, Any]:
        """How every client of kafka-python reaches these brokers."""
        settings: dict[str, Any] = {"bootstrap_servers": self.bootstrap.split(",")}
        if self.tls:
            settings |= {"security_protocol": "SSL", "ssl_cafile": self.tls_ca}
        if self.username:
            settings |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return settings


class Redis(Section, frozen=True):
    """Where idempotency keys are kept: a filter that saves work, never the truth."""

    url: Annotated[RedisUrl, Meta(description="Server and database")] = "redis://127.0.0.1:6379/0"


class Health(Section, frozen=True):
    """Where the daemon answers /livez, /readyz, /metrics and /status.json."""

    host: Annotated[Text, Meta(description="Loopback unless you say otherwise")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: a free one, named in the log")] = 9481


class Dashboard(Section, frozen=True):
    """What `tailrace dashboard` and `tailrace top` look at, and where the page is served."""

    host: Annotated[Text, Meta(description="Loopback unless you say otherwise")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: a free one, named when it starts")] = 9480
    workers: Annotated[
        tuple[HttpUrl, ...],
        Meta(
            title="a list of URLs, each starting with http://",
            description="Where daemons answer; a name with several addresses is asked at each",
            extra={"parse": names},
        ),
    ] = ()
    allowed_lag_s: Annotated[
        float, Meta(ge=0, title="seconds", description="From when a lag is worth a word")
    ] = 10.0
    operator_token: Annotated[
        Token | None, Meta(description="Who knows it may act; made anew at each start if left out")
    ] = None
    viewer_token: Annotated[
        Token | None, Meta(description="Who knows it may look; needed where host is not loopback")
    ] = None
    budget_warn_s: Annotated[
        float,
        Meta(ge=0, title="seconds", description="Warn when the slot's log lasts no longer"),
    ] = 4 * 3600.0
    budget_warn_share: Annotated[
        float,
        Meta(ge=0, le=1, title="a share from 0 to 1", description="Or when less of it is left"),
    ] = 0.25
    budget_critical_s: Annotated[
        float, Meta(ge=0, title="seconds", description="The same, when it is critical")
    ] = 3600.0
    budget_critical_share: Annotated[
        float,
        Meta(ge=0, le=1, title="a share from 0 to 1", description="The same, when it is critical"),
    ] = 0.1


class Log(Section, frozen=True):
    """What the daemon writes to stderr."""

    format: Annotated[
        Literal["console", "json"], Meta(title="console or json", description="Lines or JSON")
    ] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(title="debug, info, warning or error", description="The least that is written"),
    ] = "info"
    traces: Annotated[
        HttpUrl | None,
        Meta(description="OpenTelemetry collector for a span a batch; needs `tailrace[otel]`"),
    ] = None


class Pipeline(Section, frozen=True):
    """One source, its topics, and every sink that follows it."""

    name: Annotated[
        Name,
        Meta(description="Names connector, slot, publication, topic prefix, groups, Redis keys"),
    ] = msgspec.field(name="pipeline")
    source: Source
    sinks: dict[Name, Sink]
    connect: Connect = Connect()
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    health: Health = Health()
    dashboard: Dashboard = Dashboard()
    log: Log = Log()

    @property
    def rows(self) -> tuple[str, ...]:
        """The tables whose rows travel as rows: all but the outbox."""
        return tuple(table for table in self.source.tables if table != OUTBOX)


def load(
    path: Path,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] = os.environ,
) -> Pipeline:
    """
    The pipeline that `path` describes, under flags (`{"log.level": "debug"}`) and environment.

    Raises Problem (exit code 2, TR-CFG-001 … 007) with one sentence for whatever is wrong first.
    """
    return load_with_origins(path, flags, env)[0]


def load_with_origins(
    path: Path,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] = os.environ,
) -> tuple[Pipeline, dict[str, str]]:
    """As `load`, with where the value of each dotted key came from."""
    from tailrace.settings import read

    pipeline, origins = read(path, flags or {}, env)
    return check(pipeline), origins


def check(pipeline: Pipeline) -> Pipeline:
    """The same pipeline with each sink's tables filled in; raises Problem where parts disagree."""
    tables = pipeline.source.tables
    if not tables:
        raise at_odds("source.tables names no table; list at least one, like public.orders.")
    if not pipeline.sinks:
        raise at_odds("sinks is empty; describe at least one, as `tailrace config init` shows.")
    kafka = pipeline.kafka
    if (kafka.username is None) != (kafka.password is None):
        raise at_odds("kafka.username and kafka.password go together; give both or neither.")
    if kafka.username and not kafka.tls:
        raise at_odds("kafka.username needs an encrypted connection; set kafka.tls to true.")
    if kafka.tls_ca and not kafka.tls:
        raise at_odds("kafka.tls_ca means nothing without kafka.tls; set that to true.")
    twice = next((table for table in tables if tables.count(table) > 1), None)
    if twice is not None:
        raise at_odds(f"source.tables names {twice} twice; remove one of them.")
    sinks = {
        name: completed(name, sink, tables, pipeline.name) for name, sink in pipeline.sinks.items()
    }
    return msgspec.structs.replace(pipeline, sinks=sinks)


def chosen(pipeline: Pipeline, sink: str | None) -> dict[str, Sink]:
    """All sinks, or the named one. Raises Problem (TR-CFG-010) if there is none of that name."""
    if sink is None:
        return pipeline.sinks
    if sink not in pipeline.sinks:
        known = ", ".join(pipeline.sinks)
        raise Problem(
            "TR-CFG-010", f"There is no sink {sink}; the file has {known}.", exit_code=USAGE
        )
    return {sink: pipeline.sinks[sink]}
