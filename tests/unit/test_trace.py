"""What is looked for, how long each step took, and what a row says: the pure parts of a trace."""

import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.event import NOTHING, ChangeEvent, Position, Record, TopicPartition, ids
from consumer.settled import Ring, Settled, Stretch
from tailrace.exits import Problem
from tailrace.health import _of_record
from tailrace.trace import letters
from tailrace.trace.moments import follow, until_kafka
from tailrace.trace.scan import Found, Part, Search, _Reader
from tailrace.trace.target import Shown, judge
from tailrace.trace.wanted import EventId, Key, Lsn, in_life, key_matcher, matcher, parse, shown
from tests.builders import P0, TABLE, Log, value
from tests.builders import key as key_of

TABLES = ("public.orders", "shop.order_lines")
AT = TopicPartition("shop.public.orders", 0)


def event(gen: int = 1) -> ChangeEvent:
    record, position = Record(AT, 5, b'{"id":42}', b"{}", (), 1000), Position(gen, 50, 60)
    return ChangeEvent(record, "public.orders", "u", position, 7, NOTHING, NOTHING, fresh=True)


class TestWhatIsWanted:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("0/1A2b", Lsn(0x1A2B)),
            ("16/B374D848", Lsn((0x16 << 32) + 0xB374D848)),
            ("00" * 16, EventId(bytes(16))),
            ("42", Key({"": "42"})),
            ("id=42", Key({"id": "42"})),
            ("name=a=b", Key({"name": "a=b"})),
            ("2024-01-01 10:00", Key({"": "2024-01-01 10:00"})),
            ("nobody:42", Key({"": "nobody:42"})),
            ('{"a":1,"b":"x","c":null}', Key({"a": "1", "b": "x", "c": None})),
        ],
    )
    def test_is_told_by_its_form(self, text: str, what: object) -> None:
        assert parse(text, TABLES, None) == (what, TABLES)

    @pytest.mark.parametrize(
        ("text", "table"), [("orders:42", None), ("public.orders:42", None), ("42", "orders")]
    )
    def test_a_table_narrows_it(self, text: str, table: str | None) -> None:
        assert parse(text, TABLES, table) == (Key({"": "42"}), ["public.orders"])

    def test_with_a_table_all_of_the_text_is_the_key(self) -> None:
        assert parse("orders:42", TABLES, "orders")[0] == Key({"": "orders:42"})

    @pytest.mark.parametrize("text", ["", "{", "{}", "{1}", '{"id":' * 5000, "x" * 20_000])
    def test_what_names_nothing_is_a_sentence(self, text: str) -> None:
        with pytest.raises(Problem, match="TR-TRC-001"):
            parse(text, TABLES, None)

    @given(st.text(max_size=200))
    def test_no_text_does_harm(self, text: str) -> None:
        with suppress(Problem):
            matcher(parse(text, TABLES, None)[0], [0, 1])(event())

    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), min_size=1))
    def test_a_key_is_found_by_its_own_json(self, row: dict[str, object]) -> None:
        key, _ = parse(json.dumps(row), TABLES, None)
        assert isinstance(key, Key)
        assert key_matcher(key)(msgspec.json.encode(row))
        assert not key_matcher(key)(msgspec.json.encode({**row, "another": 1}))

    def test_a_key_is_no_other(self) -> None:
        for text in ("43", "4", "ID=42", "id=042", '{"id":42,"more":1}'):
            assert not matcher(parse(text, TABLES, None)[0], [0])(event()), text
        for key in (b"", b"{", b"[1]", b'"42"', b"42", b"\xff"):
            assert not key_matcher(Key({"": "42"}))(key)

    def test_an_id_counts_lives_from_the_sink_s_beginning(self) -> None:
        id_ = ids([event(gen=3)])[0]
        assert matcher(EventId(id_), range(3))(event(gen=1))
        assert not matcher(EventId(id_), range(2))(event(gen=1))
        assert ids([in_life(event(gen=1), 2)])[0] == id_


@given(st.text())
def test_a_terminal_cannot_be_made_to_do_anything(text: str) -> None:
    assert not set(shown(text)) & set(map(chr, [*range(32), *range(127, 160), 0x202E, 0xFFFE]))
    assert len(shown(text)) <= 80


class TestMoments:
    def test_each_step_is_since_the_last_known(self) -> None:
        steps = [("a", "source", 10.0), ("b", "connect", None), ("c", "connect", 10.5)]
        assert [m.after_s for m in follow(steps, {})] == [None, None, 0.5]

    def test_known_skew_is_taken_off(self) -> None:
        a, b = follow([("a", "source", 12.0), ("b", "connect", 10.5)], {"source": 2.0})
        assert (a.at_s, b.after_s, b.is_skewed) == (10.0, 0.5, False)

    @given(st.lists(st.floats(0, 1e9)), st.floats(-10, 10))
    def test_nothing_takes_less_than_no_time(self, times_s: list[float], ahead_s: float) -> None:
        steps = [("x", f"clock {n % 3}", at_s) for n, at_s in enumerate(times_s)]
        for moment, before in zip(follow(steps, {"clock 1": ahead_s})[1:], times_s, strict=False):
            assert moment.after_s is not None, before
            assert moment.after_s >= 0

    def test_unknown_skew_is_marked(self) -> None:
        _, b = follow([("a", "source", 12.0), ("b", "connect", 10.0)], {})
        assert (b.after_s, b.is_skewed) == (0.0, True)

    @pytest.mark.parametrize("value", [None, b"", b"[]", b'{"source":7}', b'{"source":{}}'])
    def test_what_says_no_times_has_only_kafka_s(self, value: bytes | None) -> None:
        moments = until_kafka(Record(AT, 0, b"k", value, (), 1500), {})
        assert [moment.at_s for moment in moments] == [None, None, 1.5]


ME = Position(2, 50, 60)  # the event of Position(1, 50, 60), seen by who counts one life more


@pytest.mark.parametrize(
    ("row", "grave", "state"),
    [
        (ME, None, "shows it"),
        (ME, Position(2, 0, 1), "shows it"),
        (Position(2, 50, 61), None, "shows a later change"),
        (Position(1, 99, 99), None, "shows an earlier change"),
        (None, None, "is not there"),
        (None, Position(1, 99, 99), "is not there"),
        (None, ME, "deleted by it"),
        (None, Position(3, -1, 1), "deleted by a later change"),
        (Position(2, 50, 61), Position(2, 50, 60), "shows a later change"),
    ],
)
def test_what_a_row_says(row: Position | None, grave: Position | None, state: str) -> None:
    assert judge(event(), 1, Shown(row, grave))[0] == state


def test_a_row_that_could_not_be_asked_for() -> None:
    assert judge(event(), 0, "no rights") == ("unknown", None)


def test_lives_are_counted_up_to_what_a_sink_has() -> None:
    part = Part(AT, 0, 100, lives=[(10, 1), (50, 2)])
    assert [part.life_at(offset) for offset in (0, 10, 11, 50, 51, 100)] == [0, 0, 1, 1, 2, 2]


def letter(headers: Sequence[tuple[str, bytes | None]]) -> Record:
    return Record(TopicPartition("dead", 0), 3, b"k", b"v", headers, 0)


def test_letters_say_where_from_and_why() -> None:
    said = [("tailrace.topic", b"t"), ("tailrace.partition", b"1"), ("tailrace.offset", b"9")]
    assert letters.of(letter([*said, ("tailrace.reason", b"\xff")])) == (("t", 1, 9), "\ufffd")
    for headers in ([], said[:2], [*said[:2], ("tailrace.offset", None)]):
        assert letters.of(letter(headers)) == (None, "")


def batch(start: int, spans: int = 1) -> Settled:
    stretches = tuple(Stretch("t", n, start, start + 10) for n in range(spans))
    return Settled("mirror", 0, stretches, {"written": 10}, 1.0, 2.0, 3.0, 4.0)


class TestRing:
    def test_finds_the_batches_of_a_record(self) -> None:
        ring = Ring()
        for start in (0, 10, 10, 20):
            ring.add(batch(start))
        assert ring.find("t", 0, 9) == [batch(0)]
        assert ring.find("t", 0, 10) == [batch(10), batch(10)]
        assert ring.find("t", 1, 10) == ring.find("x", 0, 10) == ring.find("t", 0, 30) == []

    def test_forgets_the_oldest(self) -> None:
        ring = Ring(kept_spans=10)
        for start in range(0, 100, 10):
            ring.add(batch(start, spans=3))
        assert ring.find("t", 0, 95) == [batch(90, spans=3)]
        assert ring.find("t", 0, 65) == []

    @given(st.lists(st.integers(1, 5)), st.integers(1, 12), st.integers(1, 30))
    def test_what_is_told_of_is_bounded_and_misses_nothing_that_is_kept(
        self, spans: list[int], most_spans: int, kept_spans: int
    ) -> None:
        ring, told, number = Ring(kept_spans), [], 0
        for start, count in enumerate(spans):
            ring.add(batch(start, count))
        while True:
            number, found = ring.after(number, most_spans)
            if not found:
                break
            assert len(found) == 1 or sum(len(each.spans) for each in found) <= most_spans
            told += found
        assert told == ring.after(0, 1 << 30)[1]
        assert number == len(spans)


def searched(*records: Record, keep: int = 10) -> tuple[Part, Found]:
    part = Part(P0, 0, 100)
    found = Found({P0: part}, (), deque(maxlen=keep), deque(maxlen=keep))
    search = Search(
        (TABLE,), ("t",), lambda _: True, lambda key: key == key_of(id=13), None, keep, around=150
    )
    _Reader(part, search, found).take(records)
    return part, found


def test_another_timeline_stops_a_worker_but_not_a_search() -> None:
    log = Log()
    later_us = 1_700_000_000_000_000 + 3_600_000_000
    records = [
        log.record(key_of(id=1), value("c", after={"id": 1}, lsn=200, commit=190)),
        log.record(key_of(id=2), value("c", after={"id": 2}, lsn=100, commit=90, ts_us=later_us)),
        log.record(key_of(id=3), value("c", after={"id": 3}, lsn=110, commit=90, ts_us=later_us)),
    ]
    part, found = searched(*records)
    assert [event.position.lsn for event in found.events] == [200, 100, 110]
    assert (part.below_lsn, part.above_lsn) == (110, 200)


def test_a_later_snapshot_begins_another_life() -> None:
    log = Log()
    records = [
        log.record(key_of(id=1), value("c", after={"id": 1}, lsn=100, commit=90)),
        log.record(key_of(id=1), value("r", after={"id": 1}, lsn=500, snapshot="true")),
        log.record(key_of(id=1), value("u", after={"id": 1}, lsn=600, commit=550)),
    ]
    part, found = searched(*records)
    assert [event.position.gen for event in found.events] == [0, 1, 1]
    assert part.lives == [(1, 1)]
    assert part.life_at(2) == 1


def test_the_newest_are_kept_and_all_are_counted() -> None:
    log = Log()
    records = [
        log.record(key_of(id=n), value("c", after={"id": n}, lsn=100 + n)) for n in range(20)
    ]
    bad = log.record(key_of(id=13), b"{ no JSON")
    _, found = searched(*records, bad, keep=3)
    assert [event.position.lsn for event in found.events] == [117, 118, 119]
    assert (found.count, len(found.unreadable)) == (21, 1)


@pytest.mark.parametrize(
    "query", ["", "topic=t", "topic=t&partition=0&offset=x", "topic=t&topic=u&partition=0&offset=1"]
)
def test_a_record_that_is_not_named_has_no_batches(query: str) -> None:
    assert _of_record(query, Ring().find)[0] == 400


def test_the_batches_of_a_record_as_json() -> None:
    ring = Ring()
    ring.add(batch(0))
    code, _, body = _of_record("topic=t&partition=0&offset=3", ring.find)
    assert code == 200
    assert msgspec.json.decode(body, type=list[Settled]) == [batch(0)]
