"""What a dead letter says, whatever is in it."""

from typing import Any

import pytest

from consumer.deadletter import HEADER, KafkaDeadLetters
from consumer.event import DeadLetter, Position, Record, TopicPartition
from tailrace.parked.letter import (
    SHOWN_BYTES,
    SHOWN_CHARACTERS,
    Parked,
    Unredrivable,
    change_of,
    in_groups,
    kind_of,
    letter_of,
    parked,
)
from tailrace.parked.plain import plain
from tests.builders import P0, TABLE, key, value

AT = TopicPartition("shop.dead-letters.mirror", 0)
REASON = "public.t refuses it by constraint polite (23514 CheckViolation)"
PLACE = Position(3, 90, 100)


def stored(
    letter: DeadLetter, number: int = 7, extra: Any = (), timestamp_ms: int = 2_000
) -> Parked:
    """As it comes back from Kafka."""
    headers = KafkaDeadLetters("topic", "mirror", {})._headers(letter)
    record = letter.record
    theirs = [*record.headers, *headers, *extra]
    return parked(Record(AT, number, record.key, record.value, theirs, timestamp_ms))


def change(note: str = "x", **how: Any) -> Record:
    made = value("c", after={"id": 1, "note": note}, **how)
    return Record(P0, 42, key(id=1), made, (), 1_000)


def letter(record: Record | None = None, reason: str = REASON, **how: Any) -> Parked:
    return stored(DeadLetter(record or change(), reason, TABLE, PLACE), **how)


def test_what_was_parked_comes_back_as_it_was() -> None:
    back = letter()
    assert back.record == Record(P0, 42, key(id=1), change().value, [], 1_000)
    assert (back.number, back.parked_at_s, back.reason) == (7, 2.0, REASON)
    assert (back.table, back.position) == (TABLE, PLACE)


def test_a_change_is_redriven_at_the_place_that_the_worker_gave_it_and_never_fresh() -> None:
    again = change_of(letter(), [TABLE])
    assert (again.position, again.fresh) == (PLACE, False)
    snapshot = Record(P0, 1, key(id=1), value("r", after={"id": 1}, lsn=5000), (), 0)
    place = Position(1, -1, 5000)
    assert change_of(stored(DeadLetter(snapshot, "no", TABLE, place)), [TABLE]).position == place


@pytest.mark.parametrize("said", ["", "1 2", "1 2 3 4", "1 2 x", "1 2 " + "9" * 30, "١ ٢ ٣"])
def test_a_letter_without_a_place_can_only_be_discarded(said: str) -> None:
    odd = letter(extra=[(f"{HEADER}position", said.encode())])
    with pytest.raises(Unredrivable, match="without its place"):
        change_of(odd, [TABLE])
    assert letter_of(odd, "mirror", [TABLE]).unreadable
    assert letter_of(odd, "mirror", [TABLE]).event_id is None


def test_what_is_no_change_can_only_be_discarded() -> None:
    garbage = letter(Record(P0, 1, b"k", b"{", (), 0), "malformed JSON")
    with pytest.raises(Unredrivable, match="no change of this sink's tables"):
        change_of(garbage, [TABLE])
    shown = letter_of(garbage, "mirror", [TABLE])
    assert (shown.value, shown.after, shown.op) == ("{", None, None)


@pytest.mark.parametrize(
    "headers",
    [(), [(f"{HEADER}topic", b"x")], [(f"{HEADER}offset", b"-5")], [(f"{HEADER}reason", None)]],
    ids=["none", "half", "negative", "null"],
)
def test_a_foreign_record_is_shown_and_not_redriven(headers: Any) -> None:
    foreign = parked(Record(AT, 3, None, b"hello", headers, 0))
    shown = letter_of(foreign, "mirror", [TABLE])
    assert (shown.topic, shown.offset, shown.value) == (None, None, "hello")
    with pytest.raises(Unredrivable, match="none of ours"):
        change_of(foreign, [TABLE])


def test_everything_shown_is_cut() -> None:
    text = (change("NOTE").value or b"").replace(b"NOTE", "é".encode() * 3_000_000)
    wide = Record(P0, 42, key(id=1), text, (), 0)
    huge = letter(wide, "x" * 100_000)
    shown = letter_of(huge, "mirror", [TABLE])
    assert shown.after is not None
    assert len(shown.after) < SHOWN_BYTES + 30
    assert shown.after.endswith("… (6,000,021 bytes)")
    assert len(shown.reason) == len(shown.kind) == SHOWN_CHARACTERS + 1
    deep = letter_of(letter(Record(P0, 1, b"\xff", b"[" * 10**6, (), 0)), "mirror", [TABLE])
    assert (deep.key, deep.op) == ("\N{REPLACEMENT CHARACTER}", None)


def test_a_header_of_the_source_does_not_speak_for_the_worker() -> None:
    sly = Record(P0, 1, b"k", b"{", [(f"{HEADER}position", b"9 9 9")], 0)
    assert stored(DeadLetter(sly, "malformed JSON")).position is None


def test_letters_of_one_record_have_one_identity() -> None:
    assert letter().identity == letter(number=9, timestamp_ms=9_000).identity
    other = Record(P0, 43, key(id=1), change().value, (), 1_000)
    assert letter().identity != letter(other).identity
    foreign = [parked(Record(AT, number, None, b"x", (), 0)) for number in (1, 2)]
    assert foreign[0].identity != foreign[1].identity


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (REASON, REASON),
        ("malformed JSON (byte 15)", "malformed JSON (byte N)"),
        ("no pair of LSNs: '[\"1\",\"2\"]'", "no pair of LSNs: …"),
        ("Expected `str`, got `int` - at `$.c1`", "Expected `str`, got `int` - at `$.c1`"),
        ("12 changes of table_2, 1.5 s, 1,000", "N changes of table_2, N s, N"),
    ],
)  # fmt: skip
def test_the_kind_leaves_out_what_differs(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_groups_count_and_date() -> None:
    numbered = [letter(reason=f"bad byte {n}", number=n, timestamp_ms=n * 1_000) for n in (4, 5, 6)]
    large, small = in_groups("mirror", [*numbered, letter()])
    assert (large.kind, large.count, large.example) == ("bad byte N", 3, "bad byte 4")
    assert (large.first_parked_at_s, large.last_parked_at_s) == (4.0, 6.0)
    assert (small.kind, small.count) == (REASON, 1)


def test_a_terminal_gets_no_escapes() -> None:
    assert plain("<b>ä 'x'</b>") == "<b>ä 'x'</b>"
    assert plain("a\x1b[31m\nb\N{RIGHT-TO-LEFT OVERRIDE}") == "a\\x1b[31m\\x0ab\\u202e"
