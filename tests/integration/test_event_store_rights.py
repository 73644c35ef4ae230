"""What a role may do that got no more than `grant_append`."""

import dataclasses
import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from eventstore.aggregate import execute, load_state
from eventstore.recorded import Connection
from eventstore.store import create_schema, grant_append
from examples.bank.account import Deposit, Open, account, decide
from tailrace.harness.databases import Databases


@pytest.fixture
def service(new_database: Databases) -> Iterator[Connection]:
    """A connection as a role of its own, which is gone afterwards."""
    dsn, name, password = new_database(), f"service_{secrets.token_hex(4)}", secrets.token_hex(8)
    role = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as owner:
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        owner.execute(create.format(role, sql.Literal(password)))
        try:
            create_schema(owner)
            grant_append(owner, name)
            with psycopg.connect(make_conninfo(dsn, user=name, password=password)) as connection:
                yield connection
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_it_reads_appends_and_saves_snapshots(service: Connection) -> None:
    often = dataclasses.replace(account, snapshot_every=2)
    execute(service, often, "1", decide, Open("c1", "Ada"))
    execute(service, often, "1", decide, Deposit(5))
    assert load_state(service, often, "1").state.balance_cents == 5
    snapshots = service.execute("SELECT count(*) FROM eventstore.snapshots").fetchone()
    assert snapshots == (1,)


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE eventstore.events SET pos = pos",
        "DELETE FROM eventstore.events",
        "TRUNCATE eventstore.events",
        "ALTER TABLE eventstore.events DISABLE TRIGGER ALL",
        "DROP TABLE eventstore.events",
        "UPDATE eventstore.snapshots SET pos = pos",
        "DELETE FROM eventstore.snapshots",
        "INSERT INTO eventstore.seals (stream, pos, hash) VALUES ('a-1', 0, '')",
        "CREATE TABLE eventstore.mine ()",
    ],
)
def test_it_may_do_nothing_else(service: Connection, act: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        service.execute(act.encode())
