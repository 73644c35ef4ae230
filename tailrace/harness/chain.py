"""The pipeline under test as it is set up, run and taken away again."""

import secrets
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from connectors import operate, register
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import ConnectorSpec
from devstack import Endpoints
from tailrace import events_topic, schema
from tailrace.config import Pipeline, load
from tailrace.harness import capture, effects, topics
from tailrace.harness.commands import SINK, Commands, write_file
from tailrace.harness.faults import Faults, Proxies
from tailrace.harness.proxy import Proxy
from tailrace.harness.running import Running
from tailrace.harness.sink import Sink
from tailrace.source import spec_of
from tailrace.wiring import group_of, topic_of


class Tx:
    """A transaction on the source; `lsn` is there once it is committed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.lsn = 0

    def sql(self, statement: str, *values: Any) -> None:
        """Run it in this transaction."""
        self.connection.execute(statement.encode(), values or None)


class Chain:
    """Everything has the pipeline's name, so that tests leave each other alone."""

    SINK = SINK

    def __init__(
        self,
        folder: Path,
        endpoints: Endpoints,
        source_dsn: str,
        target_dsn: str,
        tables: Sequence[str],
        *,
        worker: Sequence[str] | None = None,
        sink_tables: Mapping[str, str] | None = None,
        proxied: Collection[str] = (),
        watch_effects: bool = True,
        **connect: Any,
    ) -> None:
        self.name = f"t{secrets.token_hex(4)}"
        self.folder = folder
        self.source_dsn, self.target_dsn = source_dsn, target_dsn
        self.file = folder / f"{self.name}.yaml"
        write_file(self.file, endpoints, source_dsn, target_dsn, tables, connect)
        self.pipeline: Pipeline = load(self.file, env={})
        self.spec: ConnectorSpec = spec_of(self.pipeline)
        self.brokers = self.pipeline.kafka
        self.tables = self.pipeline.sinks[SINK].tables
        self.sink = Sink(target_dsn, {t: (sink_tables or {}).get(t, t) for t in self.tables})
        self.worker = worker
        self._proxies = Proxies(self.pipeline, SINK, proxied)
        self._commands = Commands(self.pipeline, self.file, worker, self._proxies)
        self.faults = Faults(self, self._proxies)
        self._watch_effects = watch_effects

    @contextmanager
    def at(self) -> Iterator[At]:
        """Connect, and the source over a connection that commits each statement."""
        with (
            Connect(self.spec.connect_url) as connect,
            psycopg.connect(self.source_dsn, autocommit=True) as source,
        ):
            yield At(connect, source)

    def register(self) -> None:
        """
        Target tables (for our own sink), then the connector, until its task runs.

        Raises Problem and ConnectorError as the commands `schema apply` and `connector apply` do.
        """
        if self.worker is None:
            self.make_tables()
        with self.at() as at:
            register.apply(self.spec, at, register.make_plan(self.spec, at))
        events_topic.make(self.pipeline, self.spec)

    def make_tables(self) -> None:
        """What our own sink needs in the target."""
        options = "-c search_path=pg_catalog"
        with (
            psycopg.connect(self.source_dsn, options=options) as source,
            psycopg.connect(self.target_dsn, options=options) as target,
        ):
            schema.apply(target, schema.plan(source, target, self.tables))

    def restart_connector(self) -> None:
        """As `tailrace connector restart` does."""
        with self.at() as at:
            operate.restart(self.spec, at)

    @property
    def running(self) -> list[Running]:
        """Every process that was started, ended ones too."""
        return self._commands.running

    def start(self, *arguments: str, **environment: str) -> Running:
        """The worker, in a process of its own; the first start begins to note its effects."""
        self._begin_to_watch()
        return self._commands.start(arguments, environment)

    def start_daemon(self, **environment: str) -> Running:
        """`tailrace run`, which starts the workers itself."""
        self._begin_to_watch()
        return self._commands.run([], environment)

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`tailrace WORDS --config FILE`, as a script would run it: output captured."""
        return self._commands.command(words, environment)

    def _begin_to_watch(self) -> None:
        if self._watch_effects and not self.running:
            with self.sink.connect() as target:
                effects.watch(target, self.sink.tables)

    def sql(self, statement: str, *values: Any) -> int:
        """Run it in the source, commit, and return an LSN that is not before the commit's."""
        with self.tx() as tx:
            tx.sql(statement, *values)
        return tx.lsn

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """Several statements in one transaction; rolled back if the block raises."""
        with psycopg.connect(self.source_dsn) as connection:
            tx = Tx(connection)
            yield tx
            connection.commit()
            tx.lsn = capture.insert_lsn(connection)

    @property
    def topics(self) -> list[str]:
        """Of all tables that the sink has, in their order."""
        return [self.topic(table) for table in self.tables]

    def topic(self, table: str) -> str:
        """Where the changes of `table` go."""
        return topic_of(self.pipeline, table)

    def group(self) -> str:
        """The consumer group of the worker."""
        return group_of(self.pipeline, SINK)

    def close(self) -> None:
        """Take away processes, connector, slot, publication, and topics but Connect's own two."""
        for running in self.running:
            if running.is_alive:
                running.kill()
        self._proxies.each(Proxy.close)
        with self.at() as at:
            operate.delete(self.spec, at, drop_slot=True, drop_publication=True)
            left = at.source.execute(
                "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [self.spec.slot]
            ).fetchall()
        assert not left, f"The slot {self.spec.slot} was left behind."
        topics.delete(self.brokers, f"{self.name}.")
