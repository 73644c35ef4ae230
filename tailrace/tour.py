"""
The tour of `examples/tour` on the servers of one stack: six databases, each captured by a connector
of its own, and a process for each service. Demo, tests and bench run it.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, LiteralString
from uuid import UUID

import psycopg
import yaml

from connectors import operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import LOG, OUTBOX, commands_topic, events_topic
from devstack import Endpoints
from eventstore import outbox
from examples.tour.booking import BookTour, office
from examples.tour.contracts import TourRequested
from sagas.checked import hears
from sagas.orchestrator import start
from sagas.protocol import Style
from sinks.target import load_statements
from tailrace import schema
from tailrace.config import Pipeline, load
from tailrace.databases import make_database
from tailrace.events_topic import make as make_topics
from tailrace.progress import Listener
from tailrace.source import spec_of

STATEMENTS = load_statements(Path(__file__).parents[1] / "examples" / "tour" / "schema.sql")
SINK = "work"
STOCK: Mapping[str, tuple[str, int, int, int]] = {
    "flight": ("flight-", 12_000, 400, 20),
    "hotel": ("hotel-", 8_000, 300, 20),
    "car": ("car-", 4_000, 60, 10),
}
"""Prefix of the names, price in cents, how much there is of each, and how many there are."""
TABLES: Mapping[str, LiteralString] = {
    "tours": STATEMENTS["tours"],
    "flight": STATEMENTS["stock"],
    "hotel": STATEMENTS["stock"],
    "car": STATEMENTS["stock"],
    "payment": STATEMENTS["payment"],
    "tickets": STATEMENTS["tickets"],
}
SERVICES = tuple(TABLES)
HEARS: Mapping[str, Sequence[str]] = {
    "tours": [events_topic(service) for service in SERVICES[1:]],
    **{
        who: [commands_topic("tours", who), *map(events_topic, ["tours", *sorted(of)])]
        for who, of in hears(BookTour.plan, "choreographed").items()
    },
}
"""The topics that each reads: what it is told, and in a choreographed saga what it waits for."""
GATHER_MS = 20
"""Of every service: six processes on one machine do less work for it."""
CUSTOMERS, BALANCE_CENTS = 200, 2_000_000


@dataclass
class Service:
    """One of the six, with its database and its pipeline's file."""

    name: str
    dsn: str
    file: Path
    pipeline: Pipeline


@dataclass
class Tour:
    """`prefix` keeps the databases and topics of several tours on one stack apart."""

    at: Endpoints
    folder: Path
    say: Listener
    prefix: str = "tour_"
    publishes_logs: bool = False
    """Whether Debezium carries each service's log to a topic, too."""
    stock: Mapping[str, tuple[str, int, int, int]] = field(default_factory=lambda: STOCK)
    partitions: int = 1
    services: dict[str, Service] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    named: dict[int, str] = field(default_factory=dict)
    """Which service a process is, by its id."""

    def prepare(self) -> None:
        """Databases, outboxes and connectors; no service runs yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in SERVICES:
            self.say(name, "database and outbox")
            dsn = make_database(self.at.source, f"{self.prefix}{name}")
            file = self._write(name, dsn)
            service = self.services[name] = Service(name, dsn, file, load(file, env={}))
            with psycopg.connect(dsn) as connection:
                self._fill(connection, name)
        for name, service in self.services.items():
            self.say(name, "connector")
            spec = spec_of(service.pipeline)
            with self._at(service) as at:
                register.apply(spec, at, register.make_plan(spec, at))
            make_topics(service.pipeline, spec, SERVICES[1:] if name == "tours" else ())

    def start(
        self, name: str, instance: str = "one", **environment: str
    ) -> subprocess.Popen[bytes]:
        """A process of this service; several, under different names, share its partitions."""
        words = [
            *(sys.executable, "-m", "tailrace", "run", "-c", str(self.services[name].file)),
            *("--sink", SINK, "--instance", instance),
        ]
        with self._log(name) as log:
            process = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, **environment}
            )
        self.running.append(process)
        self.named[process.pid] = name
        return process

    def begin(
        self, number: int, style: Style, asked: Iterator[tuple[UUID, TourRequested]]
    ) -> list[UUID]:
        """So many tours, each in a transaction of its own."""
        ids = []
        with psycopg.connect(self.services["tours"].dsn) as connection:
            for id_, request in islice(asked, number):
                with connection.transaction():
                    connection.execute(
                        "INSERT INTO tour (id, customer) VALUES (%s, %s)", [id_, request.customer]
                    )
                    start(connection, office, BookTour, request, id_=id_, style=style)
                ids.append(id_)
        return ids

    def live(self) -> int:
        """Sagas that are neither over nor parked."""
        with self.connect("tours") as connection:
            row = connection.execute(
                "SELECT count(*) FROM sagas.saga WHERE ended_at IS NULL"
                " AND status NOT IN ('PARKED', 'COMPENSATION_PARKED')"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Processes, connectors and slots are gone; the databases stay."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            process.wait()
        for service in self.services.values():
            with self._at(service) as at:
                spec = spec_of(service.pipeline)
                operate.delete(spec, at, drop_slot=True, drop_publication=True)

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """To the database of a service; each statement commits."""
        return psycopg.connect(self.services[name].dsn, autocommit=True)

    def _fill(self, connection: psycopg.Connection[Any], name: str) -> None:
        outbox.create_schema(connection)
        connection.execute(TABLES[name])
        if name in self.stock:
            prefix, price_cents, capacity, count = self.stock[name]
            values = [prefix, price_cents, capacity, capacity, count]
            connection.execute(STATEMENTS["fill_stock"], values)
        if name == "payment":
            connection.execute(STATEMENTS["fill_accounts"], [BALANCE_CENTS, CUSTOMERS])
        sink = self.services[name].pipeline.sinks[SINK]
        schema.apply(connection, schema.plan_of(connection, connection, sink))

    def _write(self, name: str, dsn: str) -> Path:
        host, _, port = self.at.source_for_connect.rpartition(":")
        module = "booking:office" if name == "tours" else f"services:{name}"
        text = yaml.safe_dump(
            {
                "pipeline": f"{self.prefix}{name}",
                "source": {
                    "dsn": dsn,
                    "tables": [OUTBOX, LOG] if self.publishes_logs else [OUTBOX],
                    "placeholder": f"unchanged-{secrets.token_hex(8)}",
                    "password_reference": f"${{file:{self.at.secrets}:source.password}}",
                    "connector_host": host,
                    "connector_port": int(port),
                },
                "connect": {"url": self.at.connect, "partitions": self.partitions},
                "kafka": {"bootstrap": self.at.kafka},
                "redis": {"url": self.at.redis},
                "sinks": {
                    SINK: {
                        "type": "subscriber",
                        "dsn": dsn,
                        "module": f"examples.tour.{module}",
                        "topics": [f"{self.prefix}{topic}" for topic in HEARS[name]],
                        "batch": {"gather_ms": GATHER_MS},
                    }
                },
                "health": {"port": 0},
            }
        )
        file = self.folder / f"{name}.yaml"
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    @contextmanager
    def _at(self, service: Service) -> Iterator[At]:
        with (
            Connect(spec_of(service.pipeline).connect_url) as connect,
            psycopg.connect(service.dsn, autocommit=True) as source,
        ):
            yield At(connect, source)

    def _log(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}.log").open("ab")
