"""Debezium's envelope: order, identity, and a sentence for everything that is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.decode import DIVERGENCE_SLACK_US, DebeziumDecoder
from consumer.errors import Diverged
from consumer.event import FIRST, ChangeEvent, Position
from tests.builders import P0, TABLE, Log, key, value

ROW = {"id": 1, "note": "x"}


def decoded(*values: bytes | None, key_: bytes | None = b'{"id":1}') -> list[ChangeEvent]:
    log = Log()
    return list(log.changes(*(log.record(key_, each) for each in values)))


def reason(raw: bytes, key_: bytes | None = b'{"id":1}') -> str:
    decoder = DebeziumDecoder([TABLE])
    decoder.start({P0: FIRST})
    events, letters = decoder.decode({P0: [Log().record(key_, raw)]})
    assert not events
    return letters[0].reason


class TestOrder:
    def test_commit_then_lsn(self) -> None:
        assert decoded(value("c", after=ROW, lsn=20, commit=10))[0].position == Position(0, 10, 20)

    def test_an_unknown_commit_is_zero_and_beats_a_snapshot(self) -> None:
        snapshot, streamed = decoded(
            value("r", after=ROW, lsn=50, snapshot="true"),
            value("u", after=ROW, lsn=40, commit=None),
        )
        assert streamed.position == Position(0, 0, 40) > snapshot.position

    def test_a_later_snapshot_is_a_new_life(self) -> None:
        events = decoded(
            value("r", after=ROW, lsn=50, snapshot="first"),
            value("u", after=ROW, lsn=60, commit=55),
            value("r", after=ROW, lsn=70, snapshot="first"),
            value("u", after=ROW, lsn=80, commit=75),
        )
        assert [event.position.gen for event in events] == [0, 0, 1, 1]

    def test_a_snapshot_begun_again_is_no_new_life_but_wins(self) -> None:
        first, again = decoded(
            value("r", after=ROW, lsn=50, snapshot="first"),
            value("r", after=ROW, lsn=60, snapshot="first"),
        )
        assert first.position < again.position
        assert again.position.gen == 0

    def test_a_repeated_snapshot_row_stays_below_what_was_streamed(self) -> None:
        events = decoded(
            value("r", after=ROW, lsn=50, snapshot="first"),
            value("u", after=ROW, lsn=40, commit=None),
            value("r", after=ROW, lsn=50, snapshot="first"),
        )
        assert events[2].position < events[1].position
        assert not events[2].fresh

    def test_an_incremental_row_stands_where_its_window_closed(self) -> None:
        raw = json.loads(value("r", after=ROW, lsn=None, snapshot="incremental"))
        raw["source"]["sequence"] = '["70","71"]'
        assert decoded(json.dumps(raw).encode())[0].position == Position(0, 70, 71)

    def test_an_older_position_committed_much_later_is_another_timeline(self) -> None:
        late = 1_700_000_000_000_000 + DIVERGENCE_SLACK_US + 1
        with pytest.raises(Diverged, match="timeline"):
            decoded(value("c", after=ROW, lsn=50), value("c", after=ROW, lsn=20, ts_us=late))


class TestFresh:
    def test_what_lies_above_all_before_is_fresh(self) -> None:
        events = decoded(*(value("u", after=ROW, lsn=lsn) for lsn in (10, 20, 15, 30)))
        assert [event.fresh for event in events] == [True, True, False, True]

    def test_rows_of_one_lsn_are_told_apart_by_key(self) -> None:
        log = Log()
        copied = [log.record(key(id=i), value("c", after={"id": i}, lsn=10)) for i in (1, 2, 1, 3)]
        assert [event.fresh for event in log.changes(*copied)] == [True, True, False, True]

    def test_after_a_restart_the_last_position_is_in_doubt(self) -> None:
        log = Log()
        batch = log.batch(log.record(key(id=1), value("c", after=ROW, lsn=10)))
        log.restart(batch.marks)
        again = log.changes(
            log.record(key(id=2), value("c", after=ROW, lsn=10)),
            log.record(key(id=3), value("c", after=ROW, lsn=11)),
        )
        assert [event.fresh for event in again] == [False, True]


class TestIdentity:
    def test_what_a_restart_changes_takes_no_part(self) -> None:
        once = decoded(value("c", after=ROW, lsn=10, commit=None))[0]
        again = decoded(value("c", after={"id": 1, "note": "y"}, lsn=10, commit=5))[0]
        assert once.id == again.id
        assert len(once.id) == 16

    @pytest.mark.parametrize(
        "other",
        [
            {"lsn": 11},
            {"op": "d"},
            {"table": "public.u"},
            {"key_": b'{"id":2}'},
        ],
    )
    def test_everything_else_makes_another(self, other: dict[str, object]) -> None:
        log = Log(TABLE, "public.u")
        ids = set()
        for options in ({}, other):
            facts = {"op": "c", "lsn": 10, "table": TABLE} | options
            key_ = facts.pop("key_", b'{"id":1}')
            op = facts.pop("op")
            raw = value(op, after=ROW, **facts)  # type: ignore[arg-type]
            ids |= {change.id for change in log.changes(log.record(key_, raw))}  # type: ignore[arg-type]
        assert len(ids) == 2


class TestNoChange:
    def test_tombstones_and_logical_messages_are_filtered(self) -> None:
        assert decoded(None, value("m")) == []

    @pytest.mark.parametrize(
        ("raw", "sentence"),
        [
            (b"{", "malformed JSON"),
            (value("c", after=ROW)[:-20], "malformed JSON"),
            (b"\xff\xfe", "malformed JSON"),
            (b'{"op":"c","after":' + b"[" * 100_000, "malformed JSON"),
            (b'{"op":"c"}', "missing required field `source`"),
            (b"42", "not a change event of Debezium"),
            (b'{"payload":{"op":"c"},"schema":{}}', "value.converter.schemas.enable=false"),
            (value("c", after=ROW, table="public.other"), "table public.other is not among"),
            (value("x", after=ROW), "operation 'x' of an event of public.t is not known"),
            (value("c", after=ROW, lsn=None), "no pair of LSNs"),
            (value("r", after=ROW, lsn=None, snapshot="true"), "without `source.lsn`"),
        ],
    )
    def test_bad_input_gets_a_sentence(self, raw: bytes, sentence: str) -> None:
        assert sentence in reason(raw)

    def test_a_row_without_a_key_names_the_ways_out(self) -> None:
        assert "give the table a primary key" in reason(value("c", after=ROW), key_=None)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_decoded_or_explained(self, raw: bytes) -> None:
        decoder = DebeziumDecoder([TABLE])
        decoder.start({P0: FIRST})
        events, letters = decoder.decode({P0: [Log().record(b"k", raw)]})
        assert len(events) + len(letters) <= 1
        assert all(letter.reason for letter in letters)
