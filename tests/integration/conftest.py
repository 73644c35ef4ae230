"""Real servers for the integration tests: started when first asked for, gone at the end."""

import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from devstack.java import PROFILES
from devstack.postgres import Postgres
from devstack.process import free_ports


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of an empty Postgres cluster that lives as long as the session."""
    folder = tmp_path_factory.mktemp("servers")
    dsn = f"postgresql://postgres:{secrets.token_urlsafe(12)}@127.0.0.1:{free_ports(1)[0]}/postgres"
    server = Postgres("postgres", folder, dsn, PROFILES["small"])
    try:
        server.start()
        yield dsn
    finally:
        server.stop()


@pytest.fixture
def new_database(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases, dropped after the test; each call returns a DSN."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return postgres_server.rpartition("/")[0] + "/" + name

    yield make
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in made:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)
