from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from consumer.ports import Sink
from sinks.marks import create_schema
from sinks.memory import MemorySink, Store
from sinks.postgres import PostgresSink
from tailrace.harness.databases import Databases
from tests.contracts.sink_contract import Opened, SinkContract


class Memory:
    def __init__(self) -> None:
        self.store = Store()

    def open(self) -> Sink:
        return MemorySink(self.store)

    def rows(self) -> Mapping[int, Any]:
        return {row["id"]: row for row in self.store.rows.values()}


class Postgres:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.sinks: list[PostgresSink] = []
        with psycopg.connect(dsn) as connection:
            create_schema(connection)
            connection.execute(
                "CREATE TABLE t (id int PRIMARY KEY, note text, _cdc_gen int NOT NULL DEFAULT 0,"
                " _cdc_commit bigint NOT NULL DEFAULT -1, _cdc_lsn bigint NOT NULL DEFAULT 0)"
            )

    def open(self) -> Sink:
        sink = PostgresSink(self.dsn, "mirror", ["public.t"], "placeholder")
        self.sinks.append(sink)
        return sink

    def rows(self) -> Mapping[int, Any]:
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute("SELECT id, note FROM t").fetchall()
        return {id_: {"id": id_, "note": note} for id_, note in rows}


class TestMemorySink(SinkContract):
    @pytest.fixture
    def opened(self) -> Opened:
        return Memory()


class TestPostgresSink(SinkContract):
    @pytest.fixture
    def opened(self, new_database: Databases) -> Any:
        opened = Postgres(new_database())
        yield opened
        for sink in opened.sinks:
            sink.close()
