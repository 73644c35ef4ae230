"""What is to be done about a parked saga, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from supervision.proposals import Found
from supervision.stuck import QUIET_S, Parked, rule

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER, LONG_AGO = NOW + timedelta(seconds=60), NOW - timedelta(seconds=QUIET_S)
ONE = Parked(
    type="book-tour",
    saga="5aebbb91-fcb7-429d-a9c5-f8a77cfc5bbd",
    step="hotel",
    status="PARKED",
    version=7,
    deadline_at=LATER,
    line=40,
    parked_at=NOW - timedelta(seconds=5),
    has_answered=False,
    way_back=True,
)
STUCK: dict[str, Any] = {"status": "COMPENSATION_PARKED", "way_back": False}


@pytest.mark.parametrize(
    ("change", "act"),
    [
        ({}, None),
        ({"has_answered": True}, "resume"),
        ({"parked_at": LONG_AGO}, "resume"),
        ({"deadline_at": NOW}, "compensate"),
        ({"deadline_at": NOW, "has_answered": True}, "compensate"),
        ({"deadline_at": NOW, "way_back": False}, None),  # past its pivot it can only go on
        ({"deadline_at": NOW, "way_back": False, "has_answered": True}, "resume"),
        (STUCK, None),
        (STUCK | {"deadline_at": NOW, "has_answered": True}, "resume"),
        (STUCK | {"deadline_at": NOW, "parked_at": LONG_AGO}, "resume"),
    ],
)
def test_the_rule(change: dict[str, Any], act: str | None) -> None:
    found = rule(msgspec.structs.replace(ONE, **change), NOW)
    assert (found and found.act) == act


def test_what_is_proposed_does_not_change_while_the_saga_does_not() -> None:
    """Or the same would be proposed again, and again after it was rejected."""
    answered = msgspec.structs.replace(ONE, has_answered=True)
    quiet = msgspec.structs.replace(ONE, parked_at=LONG_AGO)
    assert rule(answered, NOW) == rule(quiet, NOW) == rule(answered, LONG_AGO)


def test_a_proposal_is_read_as_what_it_was_written() -> None:
    found = rule(msgspec.structs.replace(ONE, has_answered=True), NOW)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Found) == found
    assert found is not None
    assert (found.deed, found.before) == ("resume", "PARKED")
    assert ONE.subject == "saga:book-tour/hotel"
