"""The shop, with everything awkward in it, mirrored row by row while it is being written to."""

from collections.abc import Callable

import psycopg

from examples.shop import database
from examples.shop.load import Load
from tailrace.harness.cdc import Cdc


def test_the_shop_is_mirrored_under_load(cdc: Callable[..., Cdc]) -> None:
    shop = cdc("SELECT 1", database.TABLES)
    with psycopg.connect(shop.source_dsn) as source:
        database.create(source)
        database.fill(source, customers=200, products=40)
    shop.register()
    worker = shop.start()
    with Load(shop.source_dsn, rate=100) as load:
        load.wait(5)
    shop.wait_converged()
    assert worker.stop() == 0, worker.text()
