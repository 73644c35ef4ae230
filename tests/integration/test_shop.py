"""The shop on a real Postgres: its load keeps the rate, the invariants and its promises."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from devstack import Endpoints
from examples.shop import database
from examples.shop.load import Load
from examples.shop.transactions import KINDS
from tailrace.harness.databases import Databases

Connection = psycopg.Connection[Any]


@pytest.fixture
def shop(new_source: Databases) -> str:
    return filled(new_source())


@pytest.fixture
def connection(shop: str) -> Iterator[Connection]:
    with psycopg.connect(shop, autocommit=True) as opened:
        yield opened


def filled(dsn: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as opened:
        database.create(opened)
        database.fill(opened, customers=200, products=20)
    return dsn


def content(dsn: str) -> dict[str, object]:
    """A digest of each table."""
    with psycopg.connect(dsn) as opened:
        return {
            table: opened.execute(
                sql.SQL("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t")
                .format(sql.Identifier(*table.split(".", 1)))
            ).fetchone()
            for table in database.TABLES
        }  # fmt: skip


def sessions(connection: Connection) -> list[int]:
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name LIKE 'shop-load%' AND datname = current_database()"
    )
    return [row[0] for row in found]


def until(load: Load, fact: Callable[[], bool]) -> None:
    """Look again and again while the load runs; fails after 30 s."""
    for _ in range(1500):
        if fact():
            return
        load.wait(0.02)
    pytest.fail("that has not happened within 30 s")


def test_is_created_and_filled(connection: Connection) -> None:
    assert database.is_created(connection)
    assert database.broken(connection) == []
    stored = connection.execute("SELECT min(pg_column_size(description)) FROM products").fetchone()
    assert stored is not None
    assert stored[0] > 15_000  # out of line even after compression


def test_a_broken_invariant_is_found(connection: Connection) -> None:
    connection.execute("UPDATE products SET sold = 3 WHERE id = 7")
    assert [(found.invariant, found.row[0]) for found in database.broken(connection)] == [
        ("sold_equals_items", 7)
    ]


def test_all_kinds_occur_and_the_invariants_hold(shop: str, connection: Connection) -> None:
    load = Load(shop, rate=5000, transactions=2000).start()
    assert load.wait(60)
    report = load.stop()
    assert set(report.committed) == set(KINDS) - {"abandon"}
    assert report.rolled_back > 0
    assert report.committed.total() + report.rolled_back == 2000
    assert report.in_doubt == report.missed == 0
    assert database.broken(connection) == []
    assert sessions(connection) == []


def test_the_same_seed_leaves_the_same_rows(new_source: Databases) -> None:
    left = []
    for seed in (7, 7, 8):
        dsn = filled(new_source())
        with Load(dsn, rate=5000, transactions=400, seed=seed) as load:
            assert load.wait(60)
        left.append(content(dsn))
    assert left[0] == left[1]
    assert left[0] != left[2]


def test_the_rate_is_held(shop: str) -> None:
    load = Load(shop, rate=200).start()
    assert not load.wait(4.0)
    report = load.stop()
    assert report.per_second == pytest.approx(200, rel=0.1)


def test_transactions_overlap(shop: str, connection: Connection) -> None:
    with Load(shop, rate=400) as load:
        until(
            load,
            lambda: (
                connection.execute(
                    "SELECT count(*) > 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                    " AND datname = current_database()"
                ).fetchone()
                == (True,)
            ),
        )


def test_it_comes_back_when_the_server_does(
    shop: str, endpoints: Endpoints, connection: Connection
) -> None:
    name = sql.Identifier(connection.info.dbname)
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(endpoints.source, autocommit=True) as admin, Load(shop) as load:
        until(load, lambda: load.report().committed.total() > 50)
        admin.execute(allow.format(name, sql.SQL("false")))
        for pid in sessions(connection):
            admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        until(load, lambda: load.report().reconnected >= 8)  # each writer was refused, too
        admin.execute(allow.format(name, sql.SQL("true")))
        before = load.report().committed.total()
        until(load, lambda: load.report().committed.total() > before + 50)
    assert database.broken(connection) == []
    assert sessions(connection) == []


def test_what_it_did_not_expect_is_raised(shop: str, connection: Connection) -> None:
    load = Load(shop).start()
    connection.execute("ALTER TABLE order_items RENAME TO gone")
    with pytest.raises(psycopg.errors.UndefinedTable):
        load.wait(30)
    with pytest.raises(psycopg.errors.UndefinedTable):
        load.stop()


def test_as_a_program(new_source: Databases) -> None:
    command = [sys.executable, "-m", "examples.shop.load", "--for", "1", "--rate", "50"]
    dsn = new_source()
    done = subprocess.run(
        command, env=os.environ | {"SHOP_DSN": dsn}, capture_output=True, text=True, check=True
    )
    assert "committed" in done.stdout
    assert "Creating the shop.\nFilling the shop." in done.stderr
    refused = subprocess.run(
        command, env=os.environ | {"SHOP_DSN": ""}, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
