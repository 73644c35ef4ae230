"""A small event-sourced ledger and its projections, in each of the forms that there are."""

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import count

import psycopg

from eventstore import store
from eventstore.contracts import Contracts, Event
from eventstore.projection import Projection, Tx, batch_projection, projection, sql_projection
from eventstore.recorded import Recorded
from eventstore.writer import Writer

contracts = Contracts("/ledger")

TABLES = "CREATE TABLE balances (account text PRIMARY KEY, amount bigint NOT NULL, events int)"
ADD = """
INSERT INTO balances (account, amount, events) VALUES (%s, %s, %s)
ON CONFLICT (account) DO UPDATE
SET amount = balances.amount + excluded.amount, events = balances.events + excluded.events
"""


@contracts.event("ledger.booked")
class Booked(Event):
    amount: int


@contracts.event("ledger.noted")
class Noted(Event):
    text: str


def _declare(version: int) -> Projection:
    @projection("balances", version=version, contracts=contracts, events=[Booked], tables=TABLES)
    def balances(tx: Writer, recorded: Recorded) -> None:
        assert isinstance(recorded.event, Booked)
        tx.execute(ADD, [recorded.stream, recorded.event.amount, 1])

    return balances


one_v1, one_v2 = _declare(1), _declare(2)


@batch_projection("sums", version=1, contracts=contracts, events=[Booked], tables=TABLES)
def many(tx: Tx, events: Sequence[Recorded]) -> None:
    """As `one_v1`, with a statement an account and batch."""
    amounts: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for recorded in events:
        assert isinstance(recorded.event, Booked)
        amounts[recorded.stream] += recorded.event.amount
        counts[recorded.stream] += 1
    with tx.cursor() as cursor:
        cursor.executemany(ADD, [(each, amounts[each], counts[each]) for each in amounts])


in_sql = sql_projection(
    "totals",
    version=1,
    contracts=contracts,
    events=[Booked],
    tables=TABLES,
    statement="""
    INSERT INTO balances (account, amount, events)
    SELECT stream, sum((data ->> 'amount')::bigint), count(*) FROM batch GROUP BY stream
    ON CONFLICT (account) DO UPDATE
    SET amount = balances.amount + excluded.amount, events = balances.events + excluded.events
    """,
)


def write(dsn: str) -> None:
    """Appends to a few streams as fast as it goes, until it is killed."""
    with psycopg.connect(dsn) as tx:
        for number in count():
            events = [Booked(amount=number % 100 - n) for n in range(3)]
            store.append(tx, contracts, f"account-{number % 40}", events, expected=store.ANY)
            tx.commit()


if __name__ == "__main__":
    write(sys.argv[1])
