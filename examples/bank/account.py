"""
An account: its state as the fold of its events, and what may be done with it.

    execute(tx, account, "42", decide, Withdraw(amount_cents=2000))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from eventstore.aggregate import Aggregate
from eventstore.contracts import Event
from examples.bank.events import Closed, Deposited, Opened, Withdrawn, contracts


class Account(BaseModel):
    """What the rules have to know."""

    model_config = ConfigDict(frozen=True)

    status: Literal["none", "open", "closed"] = "none"
    owner: str = ""
    balance_cents: int = 0


def evolve(state: Account, event: Event) -> Account:
    """The state after an event."""
    match event:
        case Opened(owner=owner):
            return Account(status="open", owner=owner)
        case Deposited(amount_cents=amount):
            return state.model_copy(update={"balance_cents": state.balance_cents + amount})
        case Withdrawn(amount_cents=amount):
            return state.model_copy(update={"balance_cents": state.balance_cents - amount})
        case Closed():
            return state.model_copy(update={"status": "closed"})
    raise TypeError(f"an account knows no {type(event).__name__}")


account = Aggregate(contracts, "account", Account(), evolve)


@dataclass(frozen=True, slots=True)
class Open:
    """Open an account for a customer."""

    customer: str
    owner: str


@dataclass(frozen=True, slots=True)
class Deposit:
    """Pay in."""

    amount_cents: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Pay out."""

    amount_cents: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close it; what is left is paid out."""

    reason: str


class Refused(Exception):
    """A rule forbids it; nothing has happened."""


def decide(state: Account, command: Open | Deposit | Withdraw | Close) -> Sequence[Event]:
    """What happens. Raises Refused, and pydantic's ValidationError for an amount that is none."""
    if isinstance(command, Open):
        if state.status != "none":
            raise Refused(f"the account is {state.status} already")
        return [Opened(customer=command.customer, owner=command.owner)]
    if state.status != "open":
        raise Refused("there is no such account" if state.status == "none" else "it is closed")
    match command:
        case Deposit(amount):
            return [Deposited(amount_cents=amount)]
        case Withdraw(amount):
            if amount > state.balance_cents:
                raise Refused(f"{amount} cents are more than the balance: {state.balance_cents}")
            return [Withdrawn(amount_cents=amount)]
        case Close(reason):
            rest = state.balance_cents
            paid = [Withdrawn(amount_cents=rest)] if rest else []
            return [*paid, Closed(reason=reason)]
