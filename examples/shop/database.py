"""The shop's database: created, filled, read back, and asked whether its invariants hold."""

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from psycopg import Connection

from examples.shop import values
from examples.shop.transactions import customer_row
from examples.shop.writer import Item, Order, Writer
from sinks.target import load_statements

TABLES = (
    "public.customers",
    "public.products",
    "public.orders",
    "public.order_items",
    "public.payments",
    "public.Gift Cards",
)
"""The tables as pipeline.yaml names them."""

_HERE = Path(__file__).parent
LOAD = load_statements(_HERE / "load.sql")
_INVARIANTS = load_statements(_HERE / "invariants.sql")


class Broken(NamedTuple):
    """A row that breaks an invariant of invariants.sql."""

    invariant: str
    row: tuple[Any, ...]


def create(connection: Connection[Any]) -> None:
    """Create types and tables in an empty database, in one transaction."""
    schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    with connection.transaction():
        connection.execute(schema.encode())


def fill(
    connection: Connection[Any], customers: int = 2000, products: int = 500, seed: int = 1
) -> None:
    """Fill empty tables, in one transaction; the same rows for the same seed."""
    rng = Random(f"fill {seed}")
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(LOAD["copy_customers"]) as copy:
            for customer in range(1, customers + 1):
                copy.write_row(customer_row(rng, customer))
        with cursor.copy(LOAD["copy_products"]) as copy:
            for product in range(1, products + 1):
                copy.write_row(_product_row(rng, product))


def is_created(connection: Connection[Any]) -> bool:
    """Whether `create` has run here."""
    found = connection.execute("SELECT to_regclass('public.customers') IS NOT NULL").fetchone()
    return bool(found and found[0])


def is_filled(connection: Connection[Any]) -> bool:
    """Whether there is a product to sell."""
    return bool(connection.execute(LOAD["product_ids"]).fetchone())


def broken(connection: Connection[Any]) -> list[Broken]:
    """The rows that break an invariant: none in any state between two transactions."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return [
            Broken(name, row)
            for name, query in _INVARIANTS.items()
            for row in connection.execute(query).fetchall()
        ]


def writer(connection: Connection[Any], rng: Random, number: int, of: int) -> Writer:
    """The rows of writer `number` among `of`, read back."""
    mine = (of, number)
    last = connection.execute(LOAD["last_ids"], mine * 2).fetchone() or (0, 0)
    products = [row[0] for row in connection.execute(LOAD["product_ids"])]
    found = Writer(rng, number, of, products, last_customer=last[0], last_order=last[1])
    found.customers = {row[0]: set() for row in connection.execute(LOAD["my_customers"], mine)}
    for order, customer, state in connection.execute(LOAD["my_orders"], mine):
        found.orders[order] = Order(customer, state)
        found.customers[customer].add(order)
    for order, line, *item in connection.execute(LOAD["my_items"], mine):
        found.orders[order].items[line] = Item(*item)
    found.cards = dict(connection.execute(LOAD["my_gift_cards"], mine).fetchall())
    return found


def _product_row(rng: Random, product: int) -> tuple[Any, ...]:
    title = f"{values.name(rng)}'s product {product}"
    text, lead = values.description(rng), values.interval(rng)
    day, price, weight = values.day(rng), values.money(rng), values.weight(rng)
    return (
        *(product, f"SKU-{product:05}", title, text, price, weight, values.rating(rng)),
        *(values.preferences(rng), day, lead, False),
    )
