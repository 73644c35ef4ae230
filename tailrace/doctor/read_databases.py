"""Asking the databases and Connect for facts. All of it raises Away, naming the server."""

import ipaddress
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import class_row, dict_row

from connectors import catalogue, lifecycle, rest
from connectors.errors import ConnectorError
from connectors.spec import ConnectorSpec
from sinks.target import GUARD_COLUMNS, load_statements
from tailrace import read_models, schema
from tailrace.asking import ANSWER_WITHIN_S, Away, database
from tailrace.config import Pipeline
from tailrace.databases import Connection
from tailrace.doctor import facts
from tailrace.exits import Problem
from tailrace.lag_sources import clock_ahead_s, next_offsets
from tailrace.logs import Offsets
from tailrace.sections import ProjectionSink, SubscriberSink
from tailrace.wiring import group_of, topics_of

STATEMENTS = load_statements(Path(__file__).with_name("doctor.sql"))
EXACTLY_ONCE = "exactly.once.support"
_SINK_TABLES = ("tailrace.offsets", "tailrace.tombstones")


def read_source(pipeline: Pipeline, spec: ConnectorSpec) -> facts.Source:
    """Everything about the source but what Connect knows better."""
    with database(pipeline.source.dsn, "source database") as connection:
        ahead_s = clock_ahead_s(connection)
        try:
            found = catalogue.read(connection, spec)
        except ConnectorError as error:
            raise Away(error.sentence) from error
        with connection.cursor(row_factory=dict_row) as cursor:
            server = cursor.execute(STATEMENTS["source"]).fetchone() or {}
        with connection.cursor(row_factory=class_row(facts.Transaction)) as cursor:
            longest = cursor.execute(STATEMENTS["longest_transaction"]).fetchone()
        return facts.Source(
            spec=spec,
            where=_where(connection),
            catalogue=found,
            longest=longest,
            ahead_s=ahead_s,
            **server,
        )


def read_connect(spec: ConnectorSpec) -> facts.Connect:
    """Plugins, settings and states, from whichever worker answers."""
    with _connect(spec) as connect:
        version = connect.version()
        plugins, running = connect.plugins(), connect.config(spec.name)
        states = lifecycle.states(connect, spec.name)
        url = urlsplit(spec.connect_url)
        return facts.Connect(
            spec=spec,
            where=f"Connect {version} at {url.hostname}:{url.port or 80}",
            is_guarded=url.scheme == "https" or url.username is not None,
            public_hosts=tuple(_public([url.hostname or ""])),
            plugins=plugins,
            running=running,
            states=tuple(states),
            ahead_s=connect.ahead_s or 0.0,
            refuses_mode=_refuses_mode(connect, spec, plugins) if spec.exactly_once else None,
        )


def _refuses_mode(
    connect: rest.Connect, spec: ConnectorSpec, plugins: Mapping[str, str]
) -> str | None:
    """Asked with nothing else, so that Debezium does not log in for it."""
    if spec.connector_class not in plugins:
        return None
    asked = {"name": spec.name, "connector.class": spec.connector_class, EXACTLY_ONCE: "required"}
    return connect.refusals(spec.connector_class, asked).get(EXACTLY_ONCE)


def read_delivery(pipeline: Pipeline, spec: ConnectorSpec) -> facts.Delivery:
    """The slot before the stored offset before the end of the log, as `position.gap` wants it."""
    with database(pipeline.source.dsn, "source database") as source, _connect(spec) as connect:
        slot = catalogue.read_slot(source, spec.slot)
        states = lifecycle.states(connect, spec.name)
        gaps = lifecycle.gaps(spec, lifecycle.At(connect, source), slot) if states else []
        return facts.Delivery(
            spec=spec,
            is_running=len(states) > 1 and all(state == "RUNNING" for _, state, _ in states),
            gaps=tuple(gaps),
            beat_age_ms=catalogue.last_beat_ms(source, spec),
        )


def read_sink(pipeline: Pipeline, name: str) -> facts.Sink:
    """The target by itself."""
    settings = pipeline.sinks[name]
    tables = list(settings.tables)
    own = [*_SINK_TABLES, *(["eventstore.inbox"] if isinstance(settings, SubscriberSink) else [])]
    with database(settings.dsn, f"database of sink {name}") as connection:
        ahead_s = clock_ahead_s(connection)
        rights: dict[str, list[str]] = defaultdict(list)
        for what, right in connection.execute(STATEMENTS["missing_rights"], [[*tables, *own]]):
            rights[what].append(right)
        with connection.cursor(row_factory=class_row(facts.Obstacle)) as cursor:
            obstacles = cursor.execute(STATEMENTS["obstacles"], [tables]).fetchall()
        unlogged = connection.execute(STATEMENTS["unlogged"], [[*tables, *own]]).fetchall()
        read_only = connection.execute(STATEMENTS["is_read_only"]).fetchone()
        return facts.Sink(
            name=name,
            where=_where(connection),
            workers=settings.workers,
            topics=tuple(topics_of(pipeline, name)),
            is_read_only=bool(read_only and read_only[0]),
            offsets=_offsets(connection, group_of(pipeline, name)),
            missing_rights={what: tuple(missing) for what, missing in rights.items()},
            obstacles=tuple(obstacles),
            ahead_s=ahead_s,
            unlogged=tuple(relation for (relation,) in unlogged),
            model=_model(connection, pipeline, name),
        )


def _model(connection: Connection, pipeline: Pipeline, name: str) -> str | None:
    if not isinstance(pipeline.sinks[name], ProjectionSink):
        return None
    built = read_models.builds_of(connection).get(group_of(pipeline, name))
    return built.state if built else "not built"


def read_mirror(pipeline: Pipeline, name: str) -> facts.Mirror:
    """The target beside the source, by the plan of `tailrace schema`."""
    settings = pipeline.sinks[name]
    with (
        database(pipeline.source.dsn, "source database") as source,
        database(settings.dsn, f"database of sink {name}") as target,
    ):
        wanted = schema.read(source, settings.tables).tables
        unfilled = [
            f"{relation}.{column}"
            for relation, column in target.execute(STATEMENTS["required"], [list(settings.tables)])
            if column not in GUARD_COLUMNS
            and relation in wanted
            and column not in {each.name for each in wanted[relation].columns}
        ]
        try:
            changes = [each.subject for each in schema.plan_of(source, target, settings)]
        except Problem as problem:
            return facts.Mirror((), str(problem), tuple(unfilled))
        return facts.Mirror(tuple(changes), None, tuple(unfilled))


@contextmanager
def _connect(spec: ConnectorSpec) -> Iterator[rest.Connect]:
    try:
        with rest.Connect(spec.connect_url, patience_s=ANSWER_WITHIN_S) as connect:
            yield connect
    except ConnectorError as error:
        raise Away(error.sentence) from error


def _offsets(connection: Connection, group: str) -> Offsets | None:
    try:
        return next_offsets(connection, [group])[group]
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InsufficientPrivilege,
    ):
        return None


def _where(connection: Connection) -> str:
    info = connection.info
    major, minor = divmod(info.server_version, 10_000)
    return f"PostgreSQL {major}.{minor} at {info.host}:{info.port}, database {info.dbname}"


def _public(hosts: Iterable[str]) -> Iterator[str]:
    """Those of the hosts that have an address which the whole internet could reach."""
    for host in hosts:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        if any(ipaddress.ip_address(address[0]).is_global for *_, address in found):
            yield host
