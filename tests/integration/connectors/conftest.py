from collections.abc import Iterator

import pytest

from devstack import Endpoints, Stack
from tests.sourcedb import Source, source_database


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.up()
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def endpoints(stack: Stack) -> Endpoints:
    return Endpoints.load(stack.folder)


@pytest.fixture
def source(endpoints: Endpoints) -> Iterator[Source]:
    with source_database(endpoints) as source:
        yield source
