"""
The rows of one writer of the load, as a value.

A writer owns the customers whose id leaves its remainder, and all that belongs to them, so what it
does depends on its seed alone. Of products it describes those with its remainder, but it sells
any of them: there the writers' locks meet.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import NamedTuple


class Item(NamedTuple):
    """What a line of an order holds."""

    product: int
    quantity: int
    price: Decimal


@dataclass
class Order:
    """An order of one of the writer's customers; `items` by line."""

    customer: int
    state: str = "new"
    items: dict[int, Item] = field(default_factory=dict)

    @property
    def total(self) -> Decimal:
        """The sum of its items."""
        return sum((item.quantity * item.price for item in self.items.values()), Decimal(0))


@dataclass
class Writer:
    """One writer's rows, as they are once its last transaction has committed."""

    rng: Random
    number: int
    of: int
    products: list[int]
    customers: dict[int, set[int]] = field(default_factory=dict)
    """The orders of each customer."""
    orders: dict[int, Order] = field(default_factory=dict)
    cards: dict[str, int] = field(default_factory=dict)
    """Whose each gift card is, by code."""
    last_customer: int = 0
    last_order: int = 0

    def new_customer(self) -> int:
        """A free id of this writer's."""
        self.last_customer = next_id(self.last_customer, self.number, self.of)
        self.customers[self.last_customer] = set()
        return self.last_customer

    def new_order(self) -> int:
        """A free id of this writer's, for a customer of its own."""
        self.last_order = next_id(self.last_order, self.number, self.of)
        customer = self.rng.choice(list(self.customers))
        self.orders[self.last_order] = Order(customer)
        self.customers[customer].add(self.last_order)
        return self.last_order

    def some_order(self, *states: str) -> int | None:
        """One of the orders in one of the states; None if a few tries found none."""
        ids = list(self.orders)
        drawn = (self.rng.choice(ids) for _ in range(10 if ids else 0))
        return next((order for order in drawn if self.orders[order].state in states), None)


def next_id(last: int, number: int, of: int) -> int:
    """The id after `last` with the writer's remainder; the first one if there is none."""
    return last + of if last else of + number
