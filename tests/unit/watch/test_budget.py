"""How much of the source's log is left for the slot, in two steps, and what is said to help."""

from dataclasses import fields

import pytest

from connectors.catalogue import Slot
from tailrace.config import Dashboard
from tailrace.watch.budget import Limits, budget
from tailrace.watch.source_state import Sample

MIB = 1 << 20
HOUR_S = 3600.0


def slot(kept: int | None, left: int | None) -> Slot:
    made: dict[str, object] = dict.fromkeys(Slot.__dataclass_fields__)
    return Slot(**made | {"retained_bytes": kept, "safe_wal_bytes": left})  # type: ignore[arg-type]


def written(bytes_per_s: int) -> list[Sample]:
    return [Sample(float(i), position=i * bytes_per_s) for i in range(10)]


@pytest.mark.parametrize(
    ("kept", "left", "rate", "is_warned", "is_critical"),
    [
        (1, 1000 * MIB, 0, False, False),
        (75 * MIB, 25 * MIB, 0, False, False),
        (76 * MIB, 24 * MIB, 0, True, False),
        (91 * MIB, 9 * MIB, 0, True, True),
        (0, int(4.1 * HOUR_S) * MIB, MIB, False, False),
        (0, int(3.9 * HOUR_S) * MIB, MIB, True, False),
        (0, int(0.9 * HOUR_S) * MIB, MIB, True, True),
        (91 * MIB, None, MIB, False, False),
        (None, 9 * MIB, MIB, False, False),
        (0, 0, 0, True, True),
    ],
)
def test_two_steps_by_time_and_by_share(
    kept: int | None, left: int | None, rate: int, is_warned: bool, is_critical: bool
) -> None:
    found = budget(slot(kept, left), written(rate), Limits())
    assert (found.warning is not None, found.is_critical) == (is_warned, is_critical)
    if found.warning:
        assert "the connector must run" in found.warning
        assert "raise max_slot_wal_keep_size" in found.warning
        assert "pausing a sink does not help" in found.warning
        assert found.warning.startswith("critical: ") == is_critical


def test_the_limits_are_the_files() -> None:
    shown = Dashboard()
    assert Limits() == Limits(*(getattr(shown, f"budget_{each.name}") for each in fields(Limits)))
    found = budget(slot(50 * MIB, 50 * MIB), written(0), Limits(warn_share=0.6))
    assert found.warning is not None


def test_nothing_is_said_of_no_slot() -> None:
    found = budget(None, written(5), Limits())
    assert (found.retained_bytes, found.left_s, found.warning) == (None, None, None)
    assert found.written_per_s == 5
