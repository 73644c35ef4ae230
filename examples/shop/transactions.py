"""
What happens in the shop, one transaction at a time, as values: nothing here talks to a server.

Each kind is a plan: it yields its steps and lets the writer's rows be as after the commit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID, uuid5

from examples.shop import values
from examples.shop.writer import Item, Writer, next_id

COPY_ROWS = 200


class Step(NamedTuple):
    """A statement of load.sql with its parameters; for a COPY they are its rows."""

    statement: str
    parameters: tuple[Any, ...] = ()


class Transaction(NamedTuple):
    """Steps to run in order; `keep` tells commit from rollback."""

    kind: str
    steps: tuple[Step, ...]
    keep: bool


def next_transaction(writer: Writer) -> Transaction:
    """Draw the next transaction and let the writer's rows be as after its commit."""
    kind = writer.rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    steps = tuple(KINDS[kind][1](writer)) if writer.customers else ()
    if not steps:
        kind, steps = "register", tuple(_register(writer))
    return Transaction(kind, steps, keep=kind != "abandon")


def customer_row(rng: Random, customer: int) -> tuple[Any, ...]:
    """All columns of a customer, in the order of `insert_customer`."""
    born, until = values.day(rng), values.moment_or_never(rng)
    return (
        *(customer, f"customer{customer}@example.org", values.name(rng), *_profile(rng)[:4]),
        *(values.numbers(rng), values.uuid(rng), born, values.flag(rng), until, values.blob(rng)),
    )


def _profile(rng: Random) -> tuple[Any, ...]:
    points = rng.choice((None, 0, rng.randrange(10_000)))
    return values.note(rng), points, values.preferences(rng), values.tags(rng), values.flag(rng)


def _register(writer: Writer) -> Iterator[Step]:
    customer = writer.new_customer()
    if writer.rng.random() < 0.2:
        yield Step("insert_customer_with_defaults", (customer, "", values.name(writer.rng)))
    else:
        yield Step("insert_customer", customer_row(writer.rng, customer))


def _copy(writer: Writer) -> Iterator[Step]:
    rows = (customer_row(writer.rng, writer.new_customer()) for _ in range(COPY_ROWS))
    yield Step("copy_customers", tuple(rows))


def _profile_change(writer: Writer) -> Iterator[Step]:
    customer = writer.rng.choice(list(writer.customers))
    yield Step("update_customer", (*_profile(writer.rng), customer))


def _move(writer: Writer) -> Iterator[Step]:
    """A customer gets another id, the primary key."""
    old = writer.rng.choice(list(writer.customers))
    new = writer.new_customer()
    writer.customers[new] = writer.customers.pop(old)
    for order in writer.customers[new]:
        writer.orders[order].customer = new
    writer.cards = {card: new if who == old else who for card, who in writer.cards.items()}
    yield Step("rekey_customer", (new, old))


def _leave(writer: Writer) -> Iterator[Step]:
    idle = [customer for customer, orders in writer.customers.items() if not orders]
    if len(idle) > 1:
        customer = writer.rng.choice(idle)
        del writer.customers[customer]
        writer.cards = {card: owner for card, owner in writer.cards.items() if owner != customer}
        yield Step("delete_customer", (customer,))


def _reprice(writer: Writer) -> Iterator[Step]:
    rng = writer.rng
    for product in _own_product(writer):
        price, weight = values.money(rng), values.weight(rng)
        rest = (values.rating(rng), values.interval(rng), product)
        yield Step("reprice_product", (price, weight, *rest))


def _rewrite(writer: Writer) -> Iterator[Step]:
    for product in _own_product(writer):
        text, attributes = values.description(writer.rng), values.preferences(writer.rng)
        yield Step("rewrite_product", (text, attributes, product))


def _own_product(writer: Writer) -> list[int]:
    """One, or none: a column that two writers set would depend on who came last."""
    mine = [product for product in writer.products if product % writer.of == writer.number]
    return [writer.rng.choice(mine)] if mine else []


def _place(writer: Writer) -> Iterator[Step]:
    order = writer.new_order()
    yield from _insert_order(writer, order)
    yield from _fill(writer, order)


def _waver(writer: Writer) -> Iterator[Step]:
    """An order whose first items are taken back to a savepoint."""
    order = writer.new_order()
    yield from _insert_order(writer, order)
    yield Step("savepoint")
    yield from _fill(writer, order)
    yield Step("rollback_to_savepoint")
    writer.orders[order].items.clear()
    yield from _fill(writer, order)


def _insert_order(writer: Writer, order: int) -> Iterator[Step]:
    rng, customer = writer.rng, writer.orders[order].customer
    yield Step(
        "insert_order",
        (order, customer, values.uuid(rng), values.moment(rng), values.note(rng)),
    )


def _fill(writer: Writer, order: int) -> Iterator[Step]:
    rng, items = writer.rng, writer.orders[order].items
    for line in range(1, rng.randrange(2, 7)):
        item = Item(rng.choice(writer.products), rng.randrange(1, 6), values.money(rng))
        items[line] = item
        yield Step("insert_item", (order, line, *item, values.flag(rng)))
    yield from _sell(items.values())
    yield Step("set_total", (writer.orders[order].total, order))


def _amend(writer: Writer) -> Iterator[Step]:
    order = writer.some_order("new")
    if order is None:
        return
    items = writer.orders[order].items
    line = writer.rng.choice(list(items))
    old, quantity = items[line], writer.rng.randrange(1, 6)
    items[line] = old._replace(quantity=quantity)
    yield Step("set_quantity", (quantity, order, line))
    yield from _sell([old._replace(quantity=quantity - old.quantity)])
    yield Step("set_total", (writer.orders[order].total, order))


def _renumber(writer: Writer) -> Iterator[Step]:
    """A line gets another number, a part of the composite primary key."""
    order = writer.some_order("new", "paid")
    if order is not None:
        items = writer.orders[order].items
        old, new = writer.rng.choice(list(items)), max(items) + 1
        items[new] = items.pop(old)
        yield Step("rekey_item", (new, order, old))


def _pay(writer: Writer) -> Iterator[Step]:
    order = writer.some_order("new")
    if order is not None:
        rng = writer.rng
        writer.orders[order].state = "paid"
        identity = str(uuid5(NAMESPACE_OID, f"payment of order {order}"))
        method = rng.choice(("card", "invoice", "gift card"))
        details = (values.preferences(rng), values.blob(rng))
        yield Step(
            "insert_payment", (identity, order, writer.orders[order].total, method, *details)
        )
        yield Step("set_state", ("paid", values.day(rng), order))


def _ship(writer: Writer) -> Iterator[Step]:
    order = writer.some_order("paid")
    if order is not None:
        writer.orders[order].state = "shipped"
        yield Step("set_state", ("shipped", values.day(writer.rng), order))


def _forget(writer: Writer) -> Iterator[Step]:
    """An order is deleted with its items and payments."""
    order = writer.some_order("new", "shipped")
    if order is not None:
        gone = writer.orders.pop(order)
        writer.customers[gone.customer].discard(order)
        yield Step("delete_order", (order,))
        yield from _sell([item._replace(quantity=-item.quantity) for item in gone.items.values()])


def _give(writer: Writer) -> Iterator[Step]:
    customer = writer.rng.choice(list(writer.customers))
    code = _card(writer, customer)
    writer.cards[code] = customer
    yield Step("insert_gift_card", (code, customer))


def _exchange(writer: Writer) -> Iterator[Step]:
    """A gift card gets another code, its primary key."""
    if writer.cards:
        old = writer.rng.choice(list(writer.cards))
        new = _card(writer, writer.cards[old])
        writer.cards[new] = writer.cards.pop(old)
        yield Step("rekey_gift_card", (new, values.money(writer.rng), old))


def _abandon(writer: Writer) -> Iterator[Step]:
    """Rolled back at its end: none of it may ever be seen."""
    rng = writer.rng
    unseen = next_id(writer.last_customer, writer.number, writer.of)
    yield Step("insert_customer", customer_row(rng, unseen))
    yield Step("sell_product", (1_000_000, rng.choice(writer.products)))


def _sell(items: Iterable[Item]) -> Iterator[Step]:
    """In the order of the products, so that writers wait for each other but never in a circle."""
    sold: Counter[int] = Counter()
    for item in items:
        sold[item.product] += item.quantity
    for product, quantity in sorted(sold.items()):
        yield Step("sell_product", (quantity, product))


def _card(writer: Writer, customer: int) -> str:
    while (code := f"{customer}-{writer.rng.getrandbits(30):08X}") in writer.cards:
        pass
    return code


KINDS: dict[str, tuple[float, Callable[[Writer], Iterator[Step]]]] = {
    "register": (10, _register),
    "profile": (12, _profile_change),
    "move": (2, _move),
    "leave": (2, _leave),
    "copy": (0.3, _copy),
    "reprice": (10, _reprice),
    "rewrite": (1, _rewrite),
    "place": (22, _place),
    "waver": (3, _waver),
    "amend": (10, _amend),
    "renumber": (3, _renumber),
    "pay": (12, _pay),
    "ship": (6, _ship),
    "forget": (4, _forget),
    "give": (2, _give),
    "exchange": (1, _exchange),
    "abandon": (3, _abandon),
}
"""Each kind with its weight and its plan; a plan without steps has nothing to do just now."""
