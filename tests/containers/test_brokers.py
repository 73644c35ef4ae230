"""
compose.three-brokers.yml: a broker dies by SIGKILL under load and comes back, then another one.

Every record is on two brokers before it counts, so nothing is lost; the sink takes each once.
"""

from collections.abc import Callable

import pytest

from examples.shop.load import Load
from tailrace.harness.waits import eventually
from tests.containers.project import BASE, THREE_BROKERS, Project, long_run_only

BROKERS = ("kafka-2", "kafka", "kafka-3")

pytestmark = [
    pytest.mark.timeout(1800),
    long_run_only,
]


@pytest.fixture(scope="module")
def chain(project_of: Callable[..., Project]) -> Project:
    project = project_of((BASE, THREE_BROKERS))
    project.up("--scale", "worker=2")
    return project


def test_each_broker_dies_in_turn_under_load(chain: Project) -> None:
    chain.ended(chain.load(rate=20, for_s=4))  # fills the shop
    chain.wait_equal(300)
    chain.watch_effects()
    with Load(chain.source_dsn(), rate=20) as load:
        for number, broker in enumerate(BROKERS, 1):
            chain.must("kill", "-s", "SIGKILL", broker)
            assert chain.containers(broker) == []
            assert_goes_on(chain, customer=-number)
            chain.must("start", broker)
            eventually(lambda: missing_replicas(chain) == "", 300)
            load.wait(0)
    chain.wait_equal(300)
    chain.assert_each_effect_once()


def assert_goes_on(chain: Project, customer: int) -> None:
    """A row that is committed after the kill arrives while the broker is still away."""
    insert = "INSERT INTO customers (id, email, name) VALUES (%s, 'a@example.com', 'Ann')"
    query = "SELECT 1 FROM public.customers WHERE id = %s"
    with chain.source() as source, chain.target() as target:
        source.execute(insert, [customer])
        eventually(lambda: target.execute(query, [customer]).fetchone(), 240)


def missing_replicas(chain: Project) -> str:
    """What Kafka says of partitions that lack a replica; nothing once all are back."""
    tool = "/opt/kafka/bin/kafka-topics.sh"
    told = ("--bootstrap-server", "kafka:9092", "--describe", "--under-replicated-partitions")
    done = chain.compose("exec", "-T", "kafka", tool, *told, timeout_s=300)
    return done.stdout if done.returncode == 0 else done.stderr
