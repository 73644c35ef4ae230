"""The shop's transactions as values: the same for the same seed, and true to their own rows."""

from collections import Counter
from random import Random

from examples.shop.transactions import KINDS, Transaction, next_transaction
from examples.shop.writer import Writer


def writer(seed: str, number: int = 1) -> Writer:
    return Writer(Random(seed), number=number, of=4, products=list(range(1, 11)))


def some(of: Writer, count: int) -> list[Transaction]:
    return [next_transaction(of) for _ in range(count)]


def test_the_same_seed_brings_the_same_transactions() -> None:
    assert some(writer("a"), 300) == some(writer("a"), 300)
    assert some(writer("a"), 300) != some(writer("b"), 300)


def test_every_kind_occurs() -> None:
    assert {transaction.kind for transaction in some(writer("a"), 2000)} == set(KINDS)


def test_only_the_abandoned_are_rolled_back() -> None:
    kept = {
        transaction.keep for transaction in some(writer("a"), 500) if transaction.kind != "abandon"
    }
    assert kept == {True}


def test_writers_never_share_a_customer_or_an_order() -> None:
    one, other = writer("a", 1), writer("a", 2)
    some(one, 500)
    some(other, 500)
    assert {customer % 4 for customer in one.customers} == {1}
    assert not one.orders.keys() & other.orders.keys()


def test_what_is_sold_is_what_the_items_say() -> None:
    mine = writer("a")
    sold: Counter[int] = Counter()
    for transaction in some(mine, 1500):
        steps = list(transaction.steps) if transaction.keep else []
        names = [step.statement for step in steps]
        if "savepoint" in names:
            del steps[names.index("savepoint") : names.index("rollback_to_savepoint")]
        for step in steps:
            if step.statement == "sell_product":
                sold[step.parameters[1]] += step.parameters[0]
    items: Counter[int] = Counter()
    for order in mine.orders.values():
        for item in order.items.values():
            items[item.product] += item.quantity
    assert +sold == items


def test_locks_on_products_are_taken_in_one_order() -> None:
    for transaction in some(writer("a"), 500):
        products = [s.parameters[1] for s in transaction.steps if s.statement == "sell_product"]
        if transaction.kind != "waver":
            assert products == sorted(products)
