"""
The pytest plugin: `--stack`, `--update-golden`, and the fixtures `stack` and `cdc`.

Everything else is imported when a test asks for one of the two.
"""

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
    name = "tests" if kind == "embedded" else f"tests-{kind}"
    chosen = open_stack(pytestconfig.rootpath / ".tailrace" / name, kind)
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(who: str, what: str) -> None:
        if capture is not None and pytestconfig.get_verbosity() >= 0:
            with capture.global_and_fixture_disabled():
                listener(who, what)

    with shown() as listener, backends.shared(chosen, tell):
        yield chosen


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
