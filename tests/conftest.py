"""Markers from folders, and databases for a test; the servers come from tailrace.harness."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from devstack import AnyStack, Endpoints
from tailrace.harness.databases import Databases
from tests import guards

if TYPE_CHECKING:
    from tailrace.harness.cdc import Cdc

settings.register_profile("house", deadline=None)  # tests wait on facts, never on time
settings.load_profile("house")

KINDS = ("unit", "contracts", "integration", "e2e", "chaos", "containers")


guards.throw()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.path.relative_to(Path(__file__).parent).parts[0]
        if kind in KINDS:
            item.add_marker(kind)


@pytest.fixture(scope="session")
def endpoints(stack: AnyStack) -> Endpoints:
    return Endpoints.load(stack.folder)


def _of(server: str) -> Iterator[Databases]:
    databases = Databases(server)
    yield databases
    databases.drop()


@pytest.fixture
def new_database(endpoints: Endpoints) -> Iterator[Databases]:
    """Makes empty databases on the target server, dropped after the test; returns their DSN."""
    yield from _of(endpoints.target)


@pytest.fixture
def new_source(endpoints: Endpoints) -> Iterator[Databases]:
    """The same on the source server, whose WAL is logical."""
    yield from _of(endpoints.source)


@pytest.fixture(scope="module")
def shared_cdc(
    stack: AnyStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., "Cdc"]]:
    """As `cdc`, for pipelines that several tests of a file use one after the other."""
    from tailrace.harness.factory import Factory

    factory = Factory(stack, tmp_path_factory.mktemp("shared"), update_golden=False)
    yield factory
    factory.close()
