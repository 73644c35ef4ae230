"""
The order of events comes from the log of the database: who reads there skips nothing.

A reader that polls by a sequence does: a transaction may take its number early and commit late.
"""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from eventstore.store import ANY, NEW, append
from examples.bank.events import Deposited, Opened, contracts
from tailrace.harness.cdc import Cdc
from tests.books import DDL, TABLES

TABLE = "eventstore.events"
AFTER = "SELECT seq, id FROM eventstore.events WHERE seq > %s ORDER BY seq"
WRITERS, APPENDS = 6, 40


def write(dsn: str, writer: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for turn in range(APPENDS):
            events = [Deposited(amount_cents=n + 1) for n in range(1 + turn % 3)]
            stream = f"account-{(writer + turn) % 4}"
            append(connection, contracts, stream, events, expected=ANY)


def test_debezium_skips_none_of_many_writers_events_and_a_poller_does(
    cdc: Callable[..., Cdc],
) -> None:
    bank = cdc(DDL, TABLES, watch_effects=False)
    bank.register()
    polled: set[str] = set()
    last_seq = 0
    with psycopg.connect(bank.source_dsn) as early, ThreadPoolExecutor(WRITERS) as pool:
        one = [Opened(customer="c1", owner="Ada Lovelace")]
        (slow,) = append(early, contracts, "account-early", one, expected=NEW)
        working = [pool.submit(write, bank.source_dsn, writer) for writer in range(WRITERS)]
        with psycopg.connect(bank.source_dsn, autocommit=True) as reader:
            for turn in (*working, None):
                if turn is None:
                    early.commit()
                else:
                    turn.result()
                for seq, id_ in reader.execute(AFTER, [last_seq]):
                    last_seq = seq
                    polled.add(str(id_))
            stored = {str(id_) for _, id_ in reader.execute(AFTER, [0])}
    assert str(slow.id) in stored - polled

    bank.wait_captured()
    seen: dict[str, list[int]] = defaultdict(list)
    ids = []
    for event in bank.events(TABLE):
        assert event.after is not None
        seen[event.after["stream"]].append(event.after["pos"])
        ids.append(event.after["id"])
        assert "Lovelace" not in str(event.after)
    assert sorted(ids) == sorted(stored)
    for positions in seen.values():
        assert positions == list(range(len(positions)))
