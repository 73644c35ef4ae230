"""
The pytest plugin: `--stack`, `--update-golden`, `stack_per_worker`, the fixtures `stack` and `cdc`.

Everything else is imported when a test asks for one of the two.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from devstack import AnyStack
    from tailrace.harness.cdc import Cdc


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a group of their own."""
    group = parser.getgroup("tailrace", "change data capture, tested on real servers")
    group.addoption(
        "--stack",
        choices=("embedded", "containers", "auto"),
        default="auto",
        help="Where the servers of `stack` and `cdc` come from: Python packages, or Docker. auto"
        " (default): the packages if they are installed, else Docker.",
    )
    group.addoption(
        "--update-golden",
        action="store_true",
        help="Write golden files of events anew instead of comparing with them.",
    )
    parser.addini(
        "stack_per_worker",
        type="bool",
        default=False,
        help="Processes of pytest-xdist have a stack each instead of one together, for tests that"
        " stop servers.",
    )


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator["AnyStack"]:
    """
    Kafka, Connect, two Postgres and Redis: one stack for the session, in `.tailrace` beside the
    tests' ini-file. One that ran before is used and left running.
    """
    from devstack import open_stack
    from tailrace.harness import backends
    from tailrace.progress import shown

    try:
        kind = backends.choose(pytestconfig.getoption("--stack"))
    except backends.NoStack as reason:
        raise pytest.UsageError(str(reason)) from None
    chosen = open_stack(pytestconfig.rootpath / ".tailrace" / _name(kind, pytestconfig), kind)
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(who: str, what: str) -> None:
        if capture is not None and pytestconfig.get_verbosity() >= 0:
            with capture.global_and_fixture_disabled():
                listener(who, what)

    with shown() as listener, backends.shared(chosen, tell):
        yield chosen


def _name(kind: str, config: pytest.Config) -> str:
    """Of its folder. A pytest that a test starts has the variable too, and so the same stack."""
    worker = os.environ.get("PYTEST_XDIST_WORKER") if config.getini("stack_per_worker") else None
    return "-".join(filter(None, ("tests", kind if kind != "embedded" else None, worker)))


@pytest.fixture
def cdc(
    stack: "AnyStack", tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[Callable[..., "Cdc"]]:
    """
    Makes a pipeline between two new databases: `cdc(ddl, tables)`, with `tables` like
    `public.orders`. What else it takes: docs/test-your-pipeline.md.
    """
    from tailrace.harness.factory import Factory

    factory = Factory(
        stack, tmp_path, update_golden=bool(pytestconfig.getoption("--update-golden"))
    )
    yield factory
    factory.close()
