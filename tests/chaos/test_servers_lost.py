"""I7: any server dies by SIGKILL in mid-run and comes back; nobody has to do anything else."""

from collections.abc import Callable

import psycopg
import pytest

from devstack import AnyStack
from examples.shop import database
from examples.shop.load import Load
from tests.chaos.test_worker_kills import LONG, assert_each_effect_once, watch_effects
from tests.pipeline import Pipe, eventually

PARTS = ["connect", "redis", "postgres-target", "kafka"]
if LONG:
    PARTS += ["postgres-source"]


@pytest.mark.parametrize("part", PARTS)
def test_a_server_is_killed_under_load(
    stack: AnyStack, pipe: Callable[..., Pipe], part: str
) -> None:
    shop = pipe("SELECT 1", database.TABLES)
    with psycopg.connect(shop.source_dsn) as source:
        database.create(source)
        database.fill(source, customers=100, products=20)
    shop.make_tables()
    watch_effects(shop)
    shop.register()
    worker = shop.start()
    shop.wait_equal()
    server = stack.part(part)
    with Load(shop.source_dsn, rate=40) as load:
        load.wait(2)
        server.kill()
        load.wait(2)
        server.start()
        load.wait(2)
    shop.wait_equal(180)
    assert_each_effect_once(shop)
    assert "Traceback" not in worker.text()
    assert worker.stop() == 0, worker.text()


def test_every_server_answers_again(stack: AnyStack) -> None:
    eventually(lambda: all(part.answers for part in stack.status()))
