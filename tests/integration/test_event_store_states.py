"""Loaded states are the folds of their events, with and without snapshots."""

import dataclasses
import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.aggregate import Loaded, execute, load_state, save_snapshot
from eventstore.contracts import Event
from eventstore.recorded import Connection
from eventstore.store import Conflict, append, create_schema, load
from examples.bank.account import Account, Deposit, Open, Refused, Withdraw, account, decide
from examples.bank.events import Closed, Deposited, Opened, Withdrawn, contracts
from examples.bank.load import main as work_at_the_bank
from tailrace.harness.databases import Databases

OPEN = Open("c1", "Ada")
EVERY_3 = dataclasses.replace(account, snapshot_every=3)
amounts = st.integers(1, 10**9)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
events = st.one_of(
    st.builds(Opened, customer=st.just("c1"), owner=names),
    st.builds(Deposited, amount_cents=amounts),
    st.builds(Withdrawn, amount_cents=amounts),
    st.builds(Closed, reason=st.just("moved")),
)


@pytest.fixture
def dsn(new_database: Databases) -> str:
    made = new_database()
    with psycopg.connect(made) as connection:
        create_schema(connection)
    return made


@pytest.fixture
def tx(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn) as connection:
        yield connection


def as_told(_: Account, told: Sequence[Event]) -> Sequence[Event]:
    return told


def snapshots(tx: Connection) -> list[tuple[int, int]]:
    found = tx.execute("SELECT pos, schema_version FROM eventstore.snapshots ORDER BY 2, 1")
    return found.fetchall()


def spoil_snapshots(tx: Connection) -> None:
    """So that a state that comes from one can be told."""
    tx.execute("""UPDATE eventstore.snapshots SET state = state || '{"owner": "spoilt"}'""")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(events, max_size=5), max_size=6))
def test_a_state_is_the_fold_of_its_events(tx: Connection, batches: list[list[Event]]) -> None:
    """At each version, and at the time of each event."""
    id_, past = secrets.token_hex(8), []
    for batch in batches:
        execute(tx, EVERY_3, id_, as_told, batch)
        past += batch
    assert load_state(tx, EVERY_3, id_) == Loaded(account.fold(past), len(past))
    for one in load(tx, contracts, account.stream(id_)):
        then = Loaded(account.fold(past[: one.pos]), one.pos)
        assert load_state(tx, EVERY_3, id_, at=one.pos) == then
        after = Loaded(account.fold(past[: one.pos + 1]), one.pos + 1)
        assert load_state(tx, EVERY_3, id_, at=one.at) == after
    total = tx.execute(
        "SELECT count(*) FROM eventstore.snapshots WHERE stream = %s", [account.stream(id_)]
    ).fetchone()
    assert total is not None
    assert total[0] <= len(past) // 3


def test_a_snapshot_is_saved_when_n_more_events_are_there_and_used(tx: Connection) -> None:
    execute(tx, EVERY_3, "1", decide, OPEN)
    execute(tx, EVERY_3, "1", decide, Deposit(5))
    assert snapshots(tx) == []
    execute(tx, EVERY_3, "1", as_told, [Deposited(amount_cents=6)] * 2)
    assert snapshots(tx) == [(3, 1)]
    spoil_snapshots(tx)
    execute(tx, EVERY_3, "1", decide, Deposit(7))
    used = load_state(tx, EVERY_3, "1")
    assert used == Loaded(Account(status="open", owner="spoilt", balance_cents=24), 5)
    assert load_state(tx, EVERY_3, "1", at=4).state.owner == "spoilt"
    assert load_state(tx, EVERY_3, "1", at=3).state.owner == "Ada"  # it is a later one


def test_snapshots_of_other_code_are_not_used(tx: Connection) -> None:
    execute(tx, EVERY_3, "1", as_told, [Opened(customer="c", owner="Ada")] * 3)
    spoil_snapshots(tx)
    newer = dataclasses.replace(EVERY_3, schema_version=2)
    assert load_state(tx, newer, "1").state.owner == "Ada"
    save_snapshot(tx, newer, "1", load_state(tx, newer, "1"))
    assert snapshots(tx) == [(2, 1), (2, 2)]
    assert load_state(tx, newer, "1").state.owner == "Ada"
    tx.execute("UPDATE eventstore.snapshots SET state = '[]'")  # another model, one version
    assert load_state(tx, newer, "1") == Loaded(Account(status="open", owner="Ada"), 3)


def test_a_command_that_is_refused_has_done_nothing(tx: Connection) -> None:
    with pytest.raises(Refused, match="no such account"):
        execute(tx, account, "1", decide, Deposit(5))
    execute(tx, account, "1", decide, OPEN)
    with pytest.raises(Refused, match="more than the balance"):
        execute(tx, account, "1", decide, Withdraw(5))
    assert execute(tx, account, "1", as_told, []) == ()
    assert load_state(tx, account, "1").version == 1


def test_a_command_decides_anew_when_others_were_quicker(dsn: str) -> None:
    both_have_decided = Barrier(2)
    decided: list[int] = []

    def slowly(state: Account, command: Withdraw) -> Sequence[Event]:
        decided.append(state.balance_cents)
        if len(decided) <= 2:
            both_have_decided.wait(30)
        return decide(state, command)

    def withdraw() -> str:
        with psycopg.connect(dsn) as connection:
            try:
                execute(connection, account, "1", slowly, Withdraw(7))
            except Refused as refused:
                return str(refused)
            return "done"

    with psycopg.connect(dsn) as connection:
        execute(connection, account, "1", decide, OPEN)
        execute(connection, account, "1", decide, Deposit(10))
    with ThreadPoolExecutor(2) as pool:
        found = {one.result() for one in [pool.submit(withdraw), pool.submit(withdraw)]}
    assert found == {"done", "7 cents are more than the balance: 3"}
    assert decided == [10, 10, 3]


def test_a_command_gives_up_at_last(tx: Connection) -> None:
    tries: list[object] = []

    def outrun(state: Account, command: object) -> Sequence[Event]:
        one = [Deposited(amount_cents=1)]
        tries.append(append(tx, contracts, "account-1", one, expected=len(tries)))
        return [Deposited(amount_cents=2)]

    with pytest.raises(Conflict, match=r"version 2, .* version 3"):
        execute(tx, account, "1", outrun, None, attempts=3)
    assert len(tries) == 3


def test_the_bank_loses_no_cent(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BANK_DSN", dsn)
    work_at_the_bank(accounts=3, writers=4, commands=200)
    work_at_the_bank(accounts=3, writers=4, commands=40)
    said = re.fullmatch(
        r"(\d+) done, (\d+) refused; .*\n(\d+) done, (\d+) refused; (\d+) cents are in the bank.\n",
        capsys.readouterr().out,
    )
    assert said is not None
    done = [int(number) for number in said.groups()]
    assert sum(done[:4]) == 240
    with psycopg.connect(dsn) as connection:
        states = [load_state(connection, account, id_).state for id_ in "012"]
    assert sum(state.balance_cents for state in states) == done[4] > 0
