"""
What every sink must do. A sink's own test file says only how to open it, and how to look inside.

`Opened.open()` gives a new sink on the same store, as after a restart; `rows()` reads the store.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from consumer.errors import Fenced
from consumer.event import FIRST, Position
from consumer.ports import Sink
from tests.builders import P0, P1, Log, key, value


class Opened(Protocol):
    def open(self) -> Sink: ...

    def rows(self) -> Mapping[int, Any]:
        """The table's rows by their id, as dictionaries of `id` and `note`."""


def put(log: Log, id_: int, note: str | None, lsn: int, op: str = "u", **options: Any) -> Any:
    commit = options.pop("commit", lsn - 1)
    at = options.pop("at", P0)
    row = {"id": id_, "note": note}
    return log.record(key(id=id_), value(op, after=row, lsn=lsn, commit=commit, **options), at)


def remove(log: Log, id_: int, lsn: int, **options: Any) -> Any:
    return log.record(
        key(id=id_),
        value("d", before={"id": id_, "note": None}, lsn=lsn, commit=lsn - 1),
        **options,
    )


class SinkContract:
    def test_a_new_partition_begins_at_the_beginning(self, opened: Opened) -> None:
        assert opened.open().positions([P0]) == {P0: FIRST}

    def test_a_change_of_each_kind(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        outcome = sink.apply(
            log.batch(
                put(log, 1, "new", 10, "c"),
                put(log, 2, "new", 11, "c"),
                put(log, 3, "read", 12, "r", snapshot="true"),
                put(log, 1, "changed", 13),
                remove(log, 2, 14),
            )
        )
        assert opened.rows() == {1: {"id": 1, "note": "changed"}, 3: {"id": 3, "note": "read"}}
        assert outcome.written + outcome.superseded == 5

    def test_an_empty_batch_still_moves_the_offsets(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(log.record(b"k", None)))
        assert opened.open().positions([P0])[P0].next_offset == 1

    def test_positions_survive_a_restart(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "a", 20, "c", ts_us=7_000)))
        mark = opened.open().positions([P0])[P0]
        assert mark == (1, Position(0, 19, 20), 7_000, 0, "")

    def test_which_log_an_offset_counts_in_is_kept(self, opened: Opened) -> None:
        sink, log = opened.open(), Log(marks={P0: FIRST._replace(log="topic-1")})
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "a", 20, "c")))
        assert opened.open().positions([P0])[P0].log == "topic-1"

    def test_the_same_batch_twice_changes_nothing(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        batch = log.batch(put(log, 1, "a", 10, "c"), remove(log, 2, 11))
        sink.apply(batch)
        with pytest.raises(Fenced):
            sink.apply(batch)
        assert opened.rows() == {1: {"id": 1, "note": "a"}}

    def test_a_repeat_at_new_offsets_is_stale(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "a", 10, "c"), put(log, 1, "b", 12), put(log, 2, "x", 13)))
        again = log.batch(put(log, 1, "a", 10, "c"), put(log, 1, "b", 12), put(log, 2, "x", 13))
        outcome = sink.apply(again)
        assert outcome.written == 0
        assert opened.rows() == {1: {"id": 1, "note": "b"}, 2: {"id": 2, "note": "x"}}

    def test_a_repeat_within_one_batch_is_stale(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(
            log.batch(put(log, 1, "a", 10, "c"), put(log, 1, "b", 12), put(log, 1, "a", 10, "c"))
        )
        assert opened.rows() == {1: {"id": 1, "note": "b"}}

    def test_a_deleted_row_does_not_come_back_by_a_repeat(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "a", 10, "c")))
        sink.apply(log.batch(remove(log, 1, 12)))
        restarted = opened.open()
        log.restart(restarted.positions([P0]))
        outcome = restarted.apply(log.batch(put(log, 1, "a", 10, "c")))
        assert outcome.written == 0
        assert opened.rows() == {}

    def test_a_row_may_come_back_after_its_delete(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "a", 10, "c"), remove(log, 1, 12)))
        sink.apply(log.batch(put(log, 1, "b", 14, "c")))
        assert opened.rows() == {1: {"id": 1, "note": "b"}}

    def test_lsn_alone_is_no_order(self, opened: Opened) -> None:
        """A re-insert may have a lower LSN than the delete that was committed before it."""
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "old", 10, "c")))
        sink.apply(log.batch(remove(log, 1, 90)))
        sink.apply(log.batch(put(log, 1, "new", 80, "c", commit=95)))
        assert opened.rows() == {1: {"id": 1, "note": "new"}}

    def test_many_rows_of_one_lsn(self, opened: Opened) -> None:
        """COPY writes a page of rows as one WAL record."""
        sink, log = opened.open(), Log()
        sink.positions([P0])
        outcome = sink.apply(log.batch(*(put(log, i, "copied", 10, "c") for i in range(5))))
        assert outcome.written == 5
        sink.apply(log.batch(*(put(log, i, "copied", 10, "c") for i in range(4, 9))))
        assert sorted(opened.rows()) == list(range(9))

    def test_a_snapshot_row_loses_against_what_was_streamed(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "first", 50, "r", snapshot="true")))
        sink.apply(log.batch(put(log, 1, "streamed", 40, commit=None)))
        sink.apply(log.batch(put(log, 1, "first", 50, "r", snapshot="true")))
        assert opened.rows() == {1: {"id": 1, "note": "streamed"}}

    def test_a_new_snapshot_wins_over_the_life_before(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        sink.apply(log.batch(put(log, 1, "old life", 50)))
        sink.apply(log.batch(put(log, 1, "new life", 60, "r", snapshot="first")))
        assert opened.rows() == {1: {"id": 1, "note": "new life"}}
        assert opened.open().positions([P0])[P0].position.gen == 1

    def test_truncate_is_a_barrier(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0, P1])
        truncate = log.record(None, value("t", lsn=20, commit=19))
        sink.apply(
            log.batch(put(log, 1, "before", 10, "c"), truncate, put(log, 2, "after", 30, "c"))
        )
        late = log.batch(put(log, 3, "late", 15, "c", at=P1), put(log, 4, "after", 31, "c", at=P1))
        sink.apply(late)
        assert sorted(opened.rows()) == [2, 4]

    def test_the_owner_before_is_fenced(self, opened: Opened) -> None:
        zombie, log = opened.open(), Log()
        zombie.positions([P0])
        opened.open().positions([P0])
        with pytest.raises(Fenced):
            zombie.apply(log.batch(put(log, 1, "late", 10, "c")))
        assert opened.rows() == {}

    def test_a_gap_in_the_offsets_is_fenced(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        log.record(b"k", None)
        with pytest.raises(Fenced):
            sink.apply(log.batch(put(log, 1, "a", 10, "c")))

    def test_null_and_the_empty_text_are_two_things(self, opened: Opened) -> None:
        sink, log = opened.open(), Log()
        sink.positions([P0])
        odd = "\x01 \x02 , \n \\. \t ' \" é 中 \\N"
        notes = {1: None, 2: "", 3: odd, 4: "\x01", 5: "\x02"}
        sink.apply(log.batch(*(put(log, i, note, 10 + i, "c") for i, note in notes.items())))
        sink.apply(log.batch(*(put(log, i, note, 20 + i) for i, note in notes.items())))
        assert {i: row["note"] for i, row in opened.rows().items()} == notes
