"""What can happen to an account. Amounts are in cents."""

from typing import Annotated

from pydantic import Field

from eventstore.contracts import Contracts, Data, Event
from eventstore.shred import Personal

contracts = Contracts("/bank")

Cents = Annotated[int, Field(gt=0)]


@contracts.event("account.opened")
class Opened(Event):
    """By a customer, whose name can be erased."""

    customer: str
    owner: Annotated[str, Personal("customer")]


@contracts.event("money.deposited", version=2)
class Deposited(Event):
    """Paid in."""

    amount_cents: Cents


@contracts.upcast("money.deposited", to=2)
def _in_cents(data: Data) -> Data:
    """Version 1 had euros."""
    return {"amount_cents": round(data["amount"] * 100)}


@contracts.event("money.withdrawn")
class Withdrawn(Event):
    """Paid out."""

    amount_cents: Cents


@contracts.event("account.closed")
class Closed(Event):
    """For good."""

    reason: str
