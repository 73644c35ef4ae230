"""What of the event store needs no server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.audit import link
from eventstore.contracts import Event, Invalid
from eventstore.past import AsOf, Fields, difference
from eventstore.recorded import Meta, Stored, new_id
from eventstore.store import Conflict, category
from examples.bank.account import (
    Account,
    Close,
    Deposit,
    Open,
    Refused,
    Withdraw,
    account,
    decide,
)
from examples.bank.events import Closed, Deposited, Opened, Withdrawn, contracts

ROW = Stored(
    "account-1",
    0,
    UUID(int=1),
    "money.deposited",
    2,
    '{"amount_cents": 5}',
    "{}",
    datetime(2026, 1, 2, tzinfo=UTC),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == 100
    ms = datetime.now(UTC).timestamp() * 1000
    assert all(abs((id_.int >> 80) - ms) < 60_000 for id_ in ids)
    assert ids[0] < ids[-1]


def test_the_category_is_what_comes_before_the_first_hyphen() -> None:
    assert category("account-42-b") == "account"
    with pytest.raises(Invalid):
        category("42-account")
    assert account.id_of("account-42-b") == "42-b"
    with pytest.raises(Invalid, match="no stream of the category account"):
        account.id_of("tour-1")


def test_meta_is_what_is_known() -> None:
    assert Meta().as_json() == "{}"
    whole = Meta("r", "m", 'a"da')
    assert Meta.from_json(whole.as_json()) == whole
    assert Meta.from_json('{"actor": "ada", "newer": 1}') == Meta(actor="ada")


def test_a_conflict_of_which_little_is_known() -> None:
    told = str(Conflict("account-1", None, None, "an id was taken"))
    assert told.startswith("account-1 was to be appended to at any version, but it is at version ?")


def test_every_column_is_in_the_hash() -> None:
    changed: Sequence[Stored] = [
        ROW._replace(stream="account-2"),
        ROW._replace(pos=1),
        ROW._replace(id=UUID(int=2)),
        ROW._replace(type="money.withdrawn"),
        ROW._replace(version=1),
        ROW._replace(data='{"amount_cents": 6}'),
        ROW._replace(meta='{"actor": "ada"}'),
        ROW._replace(at=datetime(2026, 1, 3, tzinfo=UTC)),
    ]
    assert len(changed) == len(ROW)
    hashes = {link(b"", row) for row in [ROW, *changed]} | {link(b"before", ROW)}
    assert len(hashes) == len(ROW) + 2


def test_the_hash_stays_the_same_for_ever() -> None:
    """Else everything that was sealed by an older version would look changed."""
    assert link(b"", ROW).hex()[:16] == "db41f66040e90898"


@given(FIELDS, FIELDS)
def test_the_difference_leads_from_one_state_to_the_other(before: Fields, after: Fields) -> None:
    found = difference(AsOf("a-1", 1, None, before), AsOf("a-1", 2, None, after)).changes
    assert (found == []) == (before == after)
    for change in found:
        assert _at(before, change.path) == (None if change.kind == "added" else change.before)
        assert _at(after, change.path) == (None if change.kind == "removed" else change.after)


def _at(state: Fields, path: str) -> object:
    found: object = state
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def state(*events: Event) -> Account:
    return account.fold([Opened(customer="c", owner="Ada"), *events])


FULL = state(Deposited(amount_cents=10))


@pytest.mark.parametrize(
    ("given_", "command", "then"),
    [
        (Account(), Open("c", "Ada"), [Opened(customer="c", owner="Ada")]),
        (FULL, Deposit(5), [Deposited(amount_cents=5)]),
        (FULL, Withdraw(10), [Withdrawn(amount_cents=10)]),
        (FULL, Close("moved"), [Withdrawn(amount_cents=10), Closed(reason="moved")]),
        (state(), Close("moved"), [Closed(reason="moved")]),
    ],
)
def test_what_may_be_done(
    given_: Account, command: Open | Deposit | Withdraw | Close, then: list[Event]
) -> None:
    assert list(decide(given_, command)) == then


@pytest.mark.parametrize(
    ("given_", "command", "why"),
    [
        (FULL, Open("c", "Ada"), "open already"),
        (Account(), Deposit(5), "no such account"),
        (FULL, Withdraw(11), "11 cents are more than the balance: 10"),
        (state(Closed(reason="moved")), Deposit(5), "closed"),
    ],
)
def test_what_may_not(
    given_: Account, command: Open | Deposit | Withdraw | Close, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        decide(given_, command)
    with pytest.raises(ValueError, match="amount_cents"):
        decide(FULL, Deposit(-1))


def test_every_event_of_the_bank_can_be_read() -> None:
    assert contracts.missing_upcasters() == []
    old = contracts.decode("money.deposited", 1, {"amount": 0.29})
    assert old == Deposited(amount_cents=29)
