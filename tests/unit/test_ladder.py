"""The ladder: what may be promoted on which evidence, and what a sweep does at each rung."""

from typing import Any

import pytest

from consumer.event import Position
from supervision.ladder import (
    ENOUGH,
    MOST,
    RUNGS,
    Deed,
    Evidence,
    Rung,
    above,
    below,
    deed,
    lacking,
    refusal,
)
from supervision.mirror import Sight, differs, digest

PROVEN = Evidence(right=ENOUGH, approved=ENOUGH, runs=1)


def test_the_rungs_are_next_to_each_other() -> None:
    assert [above(rung) for rung in RUNGS] == [*RUNGS[1:], None]
    assert [below(rung) for rung in RUNGS] == [RUNGS[0], *RUNGS[:-1]]


@pytest.mark.parametrize("now", RUNGS)
@pytest.mark.parametrize("wanted", RUNGS)
def test_up_one_at_a_time_and_down_at_will(now: Rung, wanted: Rung) -> None:
    may = RUNGS.index(wanted) <= RUNGS.index(now) + 1
    assert (refusal(now, wanted, PROVEN) is None) == may


@pytest.mark.parametrize(
    ("now", "evidence", "told"),
    [
        ("manual", {}, None),
        ("shadow", {"right": ENOUGH - 1}, "4 were right and 0 wrong"),
        ("shadow", {"right": ENOUGH}, None),
        ("shadow", {"right": 9 * ENOUGH, "wrong": 1}, "1 wrong"),
        ("approve", {"approved": ENOUGH - 1, "runs": 1}, "4 were done"),
        ("approve", {"approved": ENOUGH}, "no green fault-injection run"),
        ("approve", {"approved": ENOUGH, "runs": 1}, None),
        ("approve", {"approved": ENOUGH, "runs": 1, "failed": 1}, "1 failed"),
        ("approve", {"approved": ENOUGH, "runs": 1, "wrong": 1}, "1 were wrong"),
    ],
)
def test_what_is_lacking(now: Rung, evidence: dict[str, int], told: str | None) -> None:
    found = lacking(now, Evidence(**evidence))
    assert found is None if told is None else told in (found or "")


@pytest.mark.parametrize(
    ("rung", "wanted"),
    [("manual", "list"), ("shadow", "propose"), ("approve", "propose"), ("automatic", "act")],
)
def test_what_a_sweep_does(rung: Rung, wanted: Deed) -> None:
    assert deed(rung, 1) == deed(rung, MOST) == wanted
    assert deed(rung, MOST + 1) == "list"


AT, LATER = Position(0, 10, 11), Position(0, 20, 21)
SEEN = Sight(["1", "new"], ["7", "(0,1)"], ["1", "old"], AT)


@pytest.mark.parametrize(
    ("change", "is_drift"),
    [
        ({}, True),
        ({"ours": None}, True),
        ({"theirs": None}, True),
        ({"theirs": ["1", "new"]}, False),  # it was on its way
        ({"version": ["8", "(0,2)"]}, False),  # the source wrote it meanwhile
        ({"position": LATER}, False),  # the sink did
    ],
)
def test_only_a_row_that_rests_is_judged(change: dict[str, Any], is_drift: bool) -> None:
    assert differs(SEEN, SEEN._replace(**change)) is is_drift


def test_a_digest_tells_null_from_nothing_and_columns_apart() -> None:
    rows: list[Any] = [["a", None], ["a", ""], ["a", "null"], [None, "a"], ["a"], ["a,"], []]
    assert digest(None) is None
    assert len({digest(row) for row in rows}) == len(rows)
