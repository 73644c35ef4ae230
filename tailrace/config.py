"""
The one `pipeline.yaml`, as frozen values: what it may say, with units and defaults.

`load` reads it, lays environment and flags over it, and checks it once; everything after that may
trust its values. How a value is found and blamed is in `settings.py`, beside this file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tailrace.exits import USAGE, Problem

_KEYWORD = re.compile(r"((?:password|sslpassword)\s*=\s*)('(?:\\.|[^'\\])*'?|[^\s&]*)", re.I | re.S)
_USER_INFO = re.compile(r"(://[^:@/]*:).*@", re.S)
_SIZE = re.compile(r"(\d{1,15})\s*(|B|KiB|MiB|GiB)", re.I)
_UNIT = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def redact(text: str) -> str:
    """The same DSN or URL with `***` where a password stood."""
    return _USER_INFO.sub(r"\1***@", _KEYWORD.sub(r"\1***", text))


def shown(name: str, value: Any) -> Any:
    """A setting's value as people may see it."""
    if name == "password" and value is not None:
        return "***"
    return redact(value) if isinstance(value, str) else value


def names(text: str) -> list[str]:
    """What a text lists, commas between: how a list is written in the environment."""
    return [name.strip() for name in text.split(",")]


def size(text: str) -> int:
    """Bytes from `8MiB`, `512 KiB` or a plain number; raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNIT[match[2].lower()]


def dsn(text: str) -> str:
    """The same text if libpq can read it as a connection string; raises ValueError if not."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("not a DSN") from None
    return text


_END = r"(?![\s\S])"  # the very end, in Python and in the ECMAScript of JSON Schema

# A `title` ends the sentence "KEY must be …"; it is also what an editor shows.
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z](_?[a-z0-9])*" + _END,
        max_length=41,
        title="a name of up to 41 small letters, digits and single underscores, a letter first",
    ),
]
Text = Annotated[str, Meta(min_length=1, title="a text that is not empty")]
Table = Annotated[
    str,
    Meta(pattern=r"^[^.]+\.[\s\S]", title="a table written with its schema, like public.orders"),
]
Tables = Annotated[
    tuple[Table, ...],
    Meta(
        title="a list of tables, each written with its schema, like public.orders",
        extra={"parse": names},
    ),
]
Placeholder = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9-]{16,64}" + _END,
        title="16 to 64 random letters, digits and dashes, as `tailrace config init` makes them",
    ),
]
Count = Annotated[int, Meta(ge=1, le=1_000_000, title="a whole number from 1 to 1000000")]
Millis = Annotated[int, Meta(ge=0, le=60_000, title="whole milliseconds from 0 to 60000")]
Port = Annotated[int, Meta(ge=0, le=65_535, title="a port number from 0 to 65535")]
Size = Annotated[
    int,
    Meta(
        ge=1,
        title="a size in bytes such as 8MiB",
        extra={"parse": size},
        extra_json_schema={"type": ["integer", "string"]},
    ),
]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^/\s]", title="a URL that starts with http://")]
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^(rediss?|unix)://",
        title="a URL that starts with redis://, rediss:// or unix://",
        extra={"secret": True},
        extra_json_schema={"writeOnly": True},
    ),
]
Dsn = Annotated[
    str,
    Meta(
        min_length=1,
        title="a Postgres DSN such as postgresql://user@host:5432/database",
        extra={"secret": True, "parse": dsn},
        extra_json_schema={"writeOnly": True},
    ),
]


Password = Annotated[
    str,
    Meta(
        min_length=1,
        title="a password",
        extra={"secret": True},
        extra_json_schema={"writeOnly": True},
    ),
]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file. Neither `repr` nor rich shows a password."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, shown(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


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

    bootstrap: Annotated[Text, Meta(description="host:port, several with commas between")] = (
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


class Batch(Section, frozen=True):
    """How much is applied in one transaction of the sink."""

    max_events: Annotated[Count, Meta(description="The most changes")] = 10_000
    max_bytes: Annotated[Size, Meta(description="The most bytes of records")] = 8 << 20
    max_wait_ms: Annotated[
        Millis, Meta(description="How long one poll waits when there is nothing to read")
    ] = 100


class PostgresSink(Section, frozen=True, tag_field="type", tag="postgres"):
    """A Postgres that mirrors the source's tables."""

    dsn: Annotated[Dsn, Meta(description="The target database")]
    tables: Annotated[Tables, Meta(description="All of the source's when left out")] = ()
    workers: Annotated[Count, Meta(description="Processes that share this sink's partitions")] = 1
    batch: Batch = Batch()


Sink = PostgresSink


class Health(Section, frozen=True):
    """Where the daemon answers /livez, /readyz, /metrics and /status.json."""

    host: Annotated[Text, Meta(description="Loopback unless you say otherwise")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: a free one, named in the log")] = 0


class Log(Section, frozen=True):
    """What the daemon writes to stderr."""

    format: Annotated[
        Literal["console", "json"], Meta(title="console or json", description="Lines or JSON")
    ] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(title="debug, info, warning or error", description="The least that is written"),
    ] = "info"


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
    log: Log = Log()


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
        raise _at_odds("source.tables names no table; list at least one, like public.orders.")
    if not pipeline.sinks:
        raise _at_odds("sinks is empty; describe at least one, as `tailrace config init` shows.")
    kafka = pipeline.kafka
    if (kafka.username is None) != (kafka.password is None):
        raise _at_odds("kafka.username and kafka.password go together; give both or neither.")
    if kafka.username and not kafka.tls:
        raise _at_odds("kafka.username needs an encrypted connection; set kafka.tls to true.")
    if kafka.tls_ca and not kafka.tls:
        raise _at_odds("kafka.tls_ca means nothing without kafka.tls; set that to true.")
    twice = next((table for table in tables if tables.count(table) > 1), None)
    if twice is not None:
        raise _at_odds(f"source.tables names {twice} twice; remove one of them.")
    sinks = {name: _with_tables(name, sink, tables) for name, sink in pipeline.sinks.items()}
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


def _with_tables(name: str, sink: Sink, tables: tuple[str, ...]) -> Sink:
    for table in sink.tables:
        if table not in tables:
            raise _at_odds(
                f"sinks.{name}.tables has {table}, which source.tables does not;"
                " add it there or remove it here."
            )
    return msgspec.structs.replace(sink, tables=sink.tables or tables)


def _at_odds(sentence: str) -> Problem:
    return Problem("TR-CFG-007", sentence, exit_code=USAGE)
