"""Values on their way into COPY."""

import csv
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks import pgtypes
from sinks.compaction import Placeholder, finals, merged
from sinks.rows import NULL, QUOTE, Codec, Column
from tests.builders import Log, key, value

TEXT = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8")))


def column(name: str, typname: str = "text", *, is_array: bool = False) -> Column:
    return Column(name, typname, is_array, in_key=name == "id")


def line(columns: list[Column], row: dict[str, Any]) -> str:
    codec, log = Codec(columns), Log()
    changes = log.changes(log.record(key(id=1), value("c", after=row, lsn=7, commit=5)))
    return codec.lines(changes, [codec.read(change.after) for change in changes])[0]


@given(TEXT, TEXT, TEXT)
def test_any_text_survives(a: str | None, b: str | None, c: str | None) -> None:
    columns = [column(name) for name in "abc"]
    written = line(columns, {"a": a, "b": b, "c": c})
    parsed = _parse(written)
    assert parsed == [a, b, c, "0", "5", "7"]


def _parse(line: str) -> list[str | None]:
    """CSV as Postgres reads it: an unquoted NULL mark is null."""
    out: list[str | None] = []
    quoted = False
    cell, was_quoted = "", False
    i = 0
    while i <= len(line):
        char = line[i] if i < len(line) else ","
        if quoted:
            if char == QUOTE and line[i + 1 : i + 2] == QUOTE:
                cell, i = cell + QUOTE, i + 1
            elif char == QUOTE:
                quoted = False
            else:
                cell += char
        elif char == QUOTE:
            quoted = was_quoted = True
        elif char == ",":
            out.append(None if cell == NULL and not was_quoted else cell)
            cell, was_quoted = "", False
        else:
            cell += char
        i += 1
    return out


def test_the_parser_of_this_test_agrees_with_the_standard_library() -> None:
    text = f"{QUOTE}a,b{QUOTE},{QUOTE}c{QUOTE * 2}d{QUOTE}"
    assert _parse(text) == next(csv.reader([text], quotechar=QUOTE))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-01-02", "2026-01-02"),
        ("+12345-01-02T03:04:05Z", "12345-01-02T03:04:05Z"),
        ("-0043-03-15T12:00:00Z", "0044-03-15T12:00:00Z BC"),
        ("0000-06-01", "0001-06-01 BC"),
        ("+292278994-08-16T23:00:00Z", "infinity"),
        ("-292275055-05-16T23:00:00Z", "-infinity"),
        ("+5877611-06-21Z", "infinity"),
        ("-5877611-06-22Z", "-infinity"),
        ("+292269055-12-02Z", "-infinity"),
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
    ],
)
def test_dates_at_the_ends(value: str, text: str) -> None:
    assert pgtypes.date(value) == text


@pytest.mark.parametrize(
    ("typname", "value", "text"),
    [
        ("numeric", "POSITIVE_INFINITY", "Infinity"),
        ("numeric", "NAN", "NaN"),
        ("numeric", "1.50", "1.50"),
        ("bytea", "00ff", "\\x00ff"),
        ("bit", True, "1"),
        ("hstore", '{"a":"b\\"c","n":null}', '"a"=>"b\\"c","n"=>NULL'),
        ("point", {"x": 1.5, "y": -2.0, "srid": None}, "(1.5,-2.0)"),
        ("point", {"x": "NaN", "y": 1e300, "srid": None}, "(NaN,1e+300)"),
    ],
)
def test_values_that_need_a_word(typname: str, value: object, text: str) -> None:
    convert = pgtypes.converter(typname, is_array=False)
    assert convert is not None
    assert convert(value) == text


def test_arrays() -> None:
    assert pgtypes.array(["a", 'q"\\', None, "NULL", ""]) == '{"a","q\\"\\\\",NULL,"NULL",""}'
    assert pgtypes.array([1, None, True, 1.5]) == "{1,NULL,t,1.5}"
    with pytest.raises(ValueError, match="more than one dimension"):
        pgtypes.array([[1]])


def test_a_type_that_loses_values_is_not_supported() -> None:
    for typname in ("xml", "varbit", "timetz", "path"):
        with pytest.raises(KeyError):
            pgtypes.value_type(typname, is_array=False)
    for typname in ("numeric", "enum", "time", "date"):
        with pytest.raises(KeyError):
            pgtypes.value_type(typname, is_array=True)


def test_a_row_of_another_shape_is_refused() -> None:
    codec = Codec([column("id", "int4"), column("note")])
    for row in (b'{"id":1}', b'{"id":1,"note":"x","more":2}', b'{"id":"1","note":"x"}'):
        with pytest.raises(msgspec.ValidationError):
            codec.read(row)


class TestCompaction:
    def changes(self, *changes: tuple[int, int, str]) -> Any:
        log = Log()
        return log.changes(
            *(
                log.record(key(id=id_), value("u", after={"id": id_, "note": note}, lsn=lsn))
                for id_, lsn, note in changes
            )
        )

    def test_the_last_fresh_one_stands_for_its_key(self) -> None:
        found = finals(self.changes((1, 10, "a"), (2, 11, "b"), (1, 12, "c")))
        assert [change.position.lsn for change in found.changes] == [12, 11]
        assert found.repeated == {b'{"id":1}'}

    def test_a_repeat_does_not_stand_for_what_is_newer(self) -> None:
        found = finals(self.changes((1, 10, "a"), (1, 12, "c"), (1, 10, "a")))
        assert [change.position.lsn for change in found.changes] == [12]

    def test_what_did_not_travel_comes_from_the_change_before(self) -> None:
        token = "unchanged-0123456789abcdef"
        read = Codec([column("id", "int4"), column("note")]).read
        pair = self.changes((1, 10, "large"), (1, 12, token))
        row, kept = merged(pair, read, Placeholder(token))
        assert (row.c1, kept) == ("large", [])
        row, kept = merged(pair[1:], read, Placeholder(token))
        assert kept == ["c1"]

    def test_the_forms_of_the_placeholder(self) -> None:
        token = "unchanged-0123456789abcdef"
        placeholder = Placeholder(token)
        codes = ",".join(str(ord(c)) for c in token).encode()
        assert placeholder.may_be_in(token.encode(), arrays=False)
        assert placeholder.may_be_in(b"[" + codes + b"]", arrays=True)
        assert not placeholder.may_be_in(b"[" + codes + b"]", arrays=False)
