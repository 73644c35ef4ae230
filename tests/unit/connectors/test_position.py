from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connectors.position import FILTER_KEYS, at_last_commit, gap, lsn, resumes_at
from tests.unit.connectors.builders import SLOT

LSN = st.integers(min_value=1, max_value=2**63)
OFFSETS = st.fixed_dictionaries(
    {"lsn": LSN, "ts_usec": LSN},
    optional={
        "lsn_commit": st.none() | LSN,
        "lsn_proc": LSN,
        "lsn_events_processed": st.integers(1, 9),
        "messageType": st.sampled_from(["INSERT", "COMMIT"]),
        "txId": LSN,
        "transaction_id": st.text(),
    },
)


@given(OFFSETS)
def test_the_filter_is_off_and_nothing_else_is_touched(offset: dict[str, object]) -> None:
    moved = at_last_commit(offset)
    assert not set(moved) & set(FILTER_KEYS)
    assert moved["lsn"] == (offset.get("lsn_commit") or offset["lsn"])
    untouched = set(offset) - {"lsn", *FILTER_KEYS}
    assert {key: moved[key] for key in untouched} == {key: offset[key] for key in untouched}
    assert at_last_commit(moved) == moved


@given(OFFSETS)
def test_an_offset_inside_a_snapshot_is_left_alone(offset: dict[str, object]) -> None:
    inside = offset | {"snapshot": "INITIAL", "snapshot_completed": False}
    assert at_last_commit(inside) == inside
    assert resumes_at(inside) is None


def test_after_a_snapshot_the_position_is_the_snapshot_s() -> None:
    assert resumes_at({"lsn": 7, "snapshot": "INITIAL", "snapshot_completed": True}) == 7


OFFSET = {"lsn": 1200, "lsn_commit": 1000, "lsn_proc": 1200}


def test_a_slot_at_the_stored_commit_has_no_gap() -> None:
    assert gap("shop", SLOT, OFFSET, wal=2000) is None


def test_a_slot_ahead_of_the_stored_commit_is_a_gap() -> None:
    found = gap("shop", replace(SLOT, confirmed=1001), OFFSET, wal=2000)
    assert found is not None
    assert found.code == "TR-SRC-013"
    assert "0/3E9" in found.sentence


def test_a_missing_slot_is_a_gap_only_once_something_was_stored() -> None:
    found = gap("shop", None, OFFSET, wal=2000)
    assert found is not None
    assert found.code == "TR-SRC-013"
    assert gap("shop", None, {}, wal=2000) is None


def test_a_source_that_went_back() -> None:
    found = gap("shop", SLOT, OFFSET, wal=999)
    assert found is not None
    assert found.code == "TR-SRC-017"


def test_lsn_as_postgres_writes_it() -> None:
    assert lsn(0x16_B374_D848) == "16/B374D848"
