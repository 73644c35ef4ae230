"""Markers from folders, and real servers: one stack a session, one database a test."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from devstack import AnyStack, Endpoints, open_stack
from tests import guards
from tests.pipeline import Pipe

settings.register_profile("house", deadline=None)  # tests wait on facts, never on time
settings.load_profile("house")

KINDS = ("unit", "contracts", "integration", "e2e", "chaos", "compose")
FOLDER = Path(__file__).parent.parent / ".tailrace" / "tests"


guards.throw()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.path.relative_to(Path(__file__).parent).parts[0]
        if kind in KINDS:
            item.add_marker(kind)


def pytest_addoption(parser: pytest.Parser) -> None:
    kinds = ("embedded", "containers", "auto")
    told = "what the servers are; auto: containers where a Docker engine answers"
    parser.addoption("--stack", choices=kinds, default="embedded", help=told)


def stack_of(kind: str) -> AnyStack:
    if kind == "auto":
        from devstack import images

        kind = "embedded" if images.trouble() else "containers"
    if kind == "embedded":
        return open_stack(FOLDER, "embedded")
    return open_stack(FOLDER.with_name("tests-containers"), "containers")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[AnyStack]:
    """One stack a session; one that ran before (`tailrace stack up`) is used and left running."""
    stack = stack_of(request.config.getoption("--stack"))
    was_up = any(part.answers for part in stack.status())
    stack.up()
    yield stack
    if not was_up:
        stack.down()


@pytest.fixture(scope="session")
def endpoints(stack: AnyStack) -> Endpoints:
    return Endpoints.load(stack.folder)


Databases = Callable[[], str]


def _databases(server: str) -> Iterator[Databases]:
    made: list[str] = []

    def make() -> str:
        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return server.rpartition("/")[0] + "/" + name

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


@pytest.fixture
def new_database(endpoints: Endpoints) -> Iterator[Databases]:
    """Makes empty databases on the target server, dropped after the test; returns their DSN."""
    yield from _databases(endpoints.target)


@pytest.fixture
def new_source(endpoints: Endpoints) -> Iterator[Databases]:
    """The same on the source server, whose WAL is logical."""
    yield from _databases(endpoints.source)


@pytest.fixture
def pipe(
    endpoints: Endpoints, new_source: Databases, new_database: Databases, tmp_path: Path
) -> Iterator[Callable[..., Pipe]]:
    """Makes a pipeline between two new databases: `pipe(ddl, tables)`."""
    made: list[Pipe] = []

    def make(ddl: str, tables: Sequence[str], **connect: object) -> Pipe:
        source = new_source()
        with psycopg.connect(source) as connection:
            connection.execute(ddl.encode())
        made.append(Pipe(tmp_path, endpoints, source, new_database(), tables, **connect))
        return made[-1]

    yield make
    for each in made:
        each.close()
