"""I7: any server dies by SIGKILL in mid-run and comes back; nobody has to do anything else."""

from collections.abc import Callable

import psycopg
import pytest

from devstack import AnyStack
from examples.shop import database
from examples.shop.load import Load
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually
from tests.chaos.test_worker_kills import LONG

PARTS = ["connect", "redis", "postgres-target", "kafka"]
if LONG:
    PARTS += ["postgres-source"]


@pytest.mark.parametrize("part", PARTS)
def test_a_server_is_killed_under_load(stack: AnyStack, cdc: Callable[..., Cdc], part: str) -> None:
    shop = cdc("SELECT 1", database.TABLES)
    with psycopg.connect(shop.source_dsn) as source:
        database.create(source)
        database.fill(source, customers=100, products=20)
    shop.register()
    worker = shop.start()
    shop.wait_converged()
    server = stack.part(part)
    with Load(shop.source_dsn, rate=40) as load:
        load.wait(2)
        server.kill()
        load.wait(2)
        server.start()
        load.wait(2)
    shop.wait_converged(180)
    assert shop.assert_exactly_once_effect()
    assert shop.assert_order_per_key()
    assert "Traceback" not in worker.text()
    assert worker.stop() == 0, worker.text()


def test_every_server_answers_again(stack: AnyStack) -> None:
    eventually(lambda: all(part.answers for part in stack.status()))
