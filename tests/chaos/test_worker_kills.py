"""
I1, I3, I5, I7: the worker dies by SIGKILL at every numbered step, under load, again and again.

A trigger on the target writes down every effect in the same transaction. In the end source and
target are equal, and no change has taken effect twice.
"""

import os
from collections.abc import Callable

import psycopg
import pytest

from examples.shop import database
from examples.shop.load import Load
from tailrace.harness.cdc import Cdc
from tailrace.killpoint import STEPS, VARIABLE

LONG = os.environ.get("TAILRACE_CHAOS") == "long"
ROUNDS = 25 if LONG else 1  # 8 steps each: 200 kills in the long run


@pytest.fixture
def shop(cdc: Callable[..., Cdc]) -> Cdc:
    shop = cdc("SELECT 1", database.TABLES, partitions=2)
    with psycopg.connect(shop.source_dsn) as source:
        database.create(source)
        database.fill(source, customers=200, products=40)
    shop.register()
    return shop


@pytest.mark.timeout(3600 if LONG else 300)
def test_killed_at_every_step_under_load(shop: Cdc) -> None:
    kills = 0
    with Load(shop.source_dsn, rate=80) as load:
        for round_ in range(ROUNDS):
            for step in STEPS:
                arguments = ("--instance", "one")
                worker = shop.start(*arguments, **{VARIABLE: f"{step}:{1 + round_ % 7}"})
                worker.wait_killed()
                kills += 1
                load.wait(0)
    survivor = shop.start("--instance", "one")
    shop.wait_converged(120)
    assert survivor.stop() == 0, survivor.text()
    assert shop.assert_exactly_once_effect()
    assert shop.assert_order_per_key()
    assert kills == len(STEPS) * ROUNDS
