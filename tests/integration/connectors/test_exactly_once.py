"""The exactly-once mode of Connect: its own offsets topic, transactions, read_committed."""

from collections.abc import Iterator

import pytest

from connectors import operate
from connectors.register import apply, make_plan
from devstack import Endpoints, Stack
from tailrace.harness.waits import eventually
from tests.sourcedb import Source, source_database


@pytest.fixture(scope="module")
def exactly_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    stack = Stack(tmp_path_factory.mktemp("stack"), exactly_once=True)
    yield stack.up()
    stack.down()


@pytest.fixture
def source(exactly_once: Endpoints) -> Iterator[Source]:
    with source_database(exactly_once) as source:
        yield source


def test_apply_restart_and_begin_anew(source: Source) -> None:
    """Connect cannot delete such offsets, so beginning anew is tried here in particular."""
    spec = source.spec(exactly_once=True)
    for _ in range(2):
        apply(spec, source.at, make_plan(spec, source.at))
        eventually(lambda: operate.status(spec, source.at).position, what="a stored position")
        operate.restart(spec, source.at)
        assert operate.status(spec, source.at).slot is not None
        operate.delete(spec, source.at, drop_slot=True)


def test_begin_anew_without_a_snapshot(source: Source) -> None:
    spec = source.spec(exactly_once=True)
    apply(spec, source.at, make_plan(spec, source.at))
    eventually(lambda: operate.status(spec, source.at).position, what="a stored position")
    operate.delete(spec, source.at, drop_slot=True)
    changes_only = source.spec(exactly_once=True, snapshot="no_data")
    apply(changes_only, source.at, make_plan(changes_only, source.at))
    eventually(lambda: operate.status(spec, source.at).position, what="a stored position")
