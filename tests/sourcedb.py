"""A source database of its own for one test, and the connector that belongs to it."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors import operate
from connectors.lifecycle import At
from connectors.rest import Connect
from connectors.spec import ConnectorSpec, SourceTable, new_placeholder
from devstack import Endpoints


@dataclass(frozen=True)
class Source:
    """The database, an autocommit connection to it, Connect, and a specification to vary."""

    endpoints: Endpoints
    dsn: str
    at: At
    base: ConnectorSpec

    @property
    def db(self) -> psycopg.Connection[Any]:
        return self.at.source

    def spec(self, **changes: Any) -> ConnectorSpec:
        """The base specification with `changes`; `tables` may be names in schema public."""
        tables = changes.pop("tables", None)
        if tables is not None:
            changes["tables"] = tuple(
                SourceTable("public", table) if isinstance(table, str) else table
                for table in tables
            )
        return dataclasses.replace(self.base, **changes)


@contextmanager
def source_database(endpoints: Endpoints) -> Iterator[Source]:
    """A new database with a table `orders`; connector, slot and database are gone afterwards."""
    name = f"t{secrets.token_hex(5)}"
    host, _, port = endpoints.source_for_connect.rpartition(":")
    dsn = make_conninfo(endpoints.source, dbname=name)
    with psycopg.connect(endpoints.source, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            with (
                psycopg.connect(dsn, autocommit=True) as connection,
                Connect(endpoints.connect) as connect,
            ):
                connection.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
                base = ConnectorSpec(
                    name=name,
                    connect_url=endpoints.connect,
                    host=host,
                    port=int(port),
                    database=name,
                    user="postgres",
                    password=f"${{file:{endpoints.secrets}:source.password}}",
                    tables=(SourceTable("public", "orders"),),
                    slot=name,
                    publication=name,
                    topic_prefix=name,
                    placeholder=new_placeholder(),
                    heartbeat_interval_ms=500,
                )
                at = At(connect, connection)
                try:
                    yield Source(endpoints, dsn, at, base)
                finally:
                    operate.delete(base, at, drop_slot=True)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            server.execute(drop)
