"""What a customer who looks at the status of a tour may never see."""

import pytest

from tests.tour_people import goes_back


@pytest.mark.parametrize(
    ("before", "now", "is_wrong"),
    [
        ("RUNNING", "PARKED", False),
        ("PARKED", "RUNNING", False),
        ("RUNNING", "COMPLETED", False),
        ("PARKED", "COMPENSATED", False),
        ("COMPENSATION_PARKED", "COMPENSATING", False),
        ("COMPENSATING", "COMPENSATED", False),
        ("COMPENSATING", "RUNNING", True),
        ("COMPENSATING", "COMPLETED", True),
        ("COMPLETED", "COMPENSATING", True),
        ("COMPLETED", "COMPENSATED", True),
        ("COMPENSATED", "RUNNING", True),
    ],
)
def test_a_status_never_goes_back(before: str, now: str, is_wrong: bool) -> None:
    assert goes_back(before, now) is is_wrong
