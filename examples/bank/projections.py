"""What the bank reads: a projection in each of the three forms."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from eventstore.projection import Tx, batch_projection, projection, sql_projection
from eventstore.recorded import Recorded
from eventstore.writer import Writer
from examples.bank.events import Closed, Deposited, Opened, Withdrawn, contracts


@projection(
    "balances",
    version=1,
    contracts=contracts,
    events=[Opened, Deposited, Withdrawn, Closed],
    tables="""
    CREATE TABLE accounts (
      account text PRIMARY KEY, owner text NOT NULL, is_open boolean NOT NULL,
      balance_cents bigint NOT NULL, changed_at timestamptz NOT NULL
    ) WITH (fillfactor = 50)
    """,
)
def balances(tx: Writer, recorded: Recorded) -> None:
    """What each account has: an event at a time."""
    account, at = recorded.stream, recorded.at
    match recorded.event:
        case Opened(owner=owner):
            tx.execute("INSERT INTO accounts VALUES (%s, %s, true, 0, %s)", [account, owner, at])
        case Deposited(amount_cents=amount):
            tx.execute(_ADD, [amount, at, account])
        case Withdrawn(amount_cents=amount):
            tx.execute(_ADD, [-amount, at, account])
        case Closed():
            tx.execute(
                "UPDATE accounts SET is_open = false, changed_at = %s WHERE account = %s",
                [at, account],
            )


_ADD = """
UPDATE accounts SET balance_cents = balance_cents + %s, changed_at = %s WHERE account = %s
"""


@batch_projection(
    "turnover",
    version=1,
    contracts=contracts,
    events=[Deposited, Withdrawn],
    tables="""
    CREATE TABLE days (day date PRIMARY KEY, paid_in_cents bigint, paid_out_cents bigint)
    """,
)
def turnover(tx: Tx, events: Sequence[Recorded]) -> None:
    """What came and went on each day: a statement for a day and batch, whatever it holds."""
    paid_in: defaultdict[date, int] = defaultdict(int)
    paid_out: defaultdict[date, int] = defaultdict(int)
    for recorded in events:
        match recorded.event:
            case Deposited(amount_cents=amount):
                paid_in[recorded.at.date()] += amount
            case Withdrawn(amount_cents=amount):
                paid_out[recorded.at.date()] += amount
    days = sorted(paid_in.keys() | paid_out.keys())  # in one order, so that workers cannot deadlock
    with tx.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO days VALUES (%s, %s, %s) ON CONFLICT (day) DO UPDATE
            SET paid_in_cents = days.paid_in_cents + excluded.paid_in_cents,
                paid_out_cents = days.paid_out_cents + excluded.paid_out_cents
            """,
            [(day, paid_in[day], paid_out[day]) for day in days],
        )


deposits = sql_projection(
    "deposits",
    version=1,
    contracts=contracts,
    events=[Deposited],
    tables="CREATE TABLE deposits (account text PRIMARY KEY, cents bigint, count bigint)",
    statement="""
    INSERT INTO deposits
    SELECT stream, sum(CASE version WHEN 1 THEN round((data ->> 'amount')::numeric * 100)
                       ELSE (data ->> 'amount_cents')::numeric END), count(*)
    FROM batch GROUP BY stream ORDER BY stream
    ON CONFLICT (account) DO UPDATE
    SET cents = deposits.cents + excluded.cents, count = deposits.count + excluded.count
    """,
)
"""What was paid into each account. SQL sees the data as they were stored, of every version."""
