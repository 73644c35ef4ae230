from collections.abc import Iterator

import pytest

from devstack import Endpoints
from tests.sourcedb import Source, source_database


@pytest.fixture
def source(endpoints: Endpoints) -> Iterator[Source]:
    with source_database(endpoints) as source:
        yield source
