"""
Changes of one table -> lines for COPY. The hot path of the Postgres sink.

CSV with the quote character 0x01, which data nearly never has, so nothing is escaped. Whether it
has is seen by one count over the whole text: every text brings two quotes, a NULL (an empty field
without quotes), an integer and a boolean none. For each shape of row one function is generated, as
`dataclasses` does; names of columns never enter its source.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from consumer.event import NOTHING, ChangeEvent
from sinks import pgtypes

QUOTE = "\x01"
NULL = ""

Lines = Callable[[Sequence[ChangeEvent], Sequence[Any]], tuple[list[str], int]]
"""Changes and their rows -> lines, and how many fields of them were quoted."""


@dataclass(frozen=True, slots=True)
class Column:
    """`typname` is that of the element for an array, of the base type for a domain."""

    name: str
    typname: str
    is_array: bool
    in_key: bool
    is_generated: bool = False


class Codec:
    """Reads the rows of one shape and writes them as CSV lines without their line ends."""

    def __init__(self, columns: Sequence[Column], ignored: Collection[str] = ()) -> None:
        self.columns = columns
        fields: list[Any] = [
            (f"c{i}", pgtypes.value_type(column.typname, is_array=column.is_array))
            for i, column in enumerate(columns)
        ]
        names = {f"c{i}": column.name for i, column in enumerate(columns)}
        for i, name in enumerate(ignored):
            fields.append((f"x{i}", Any, None))
            names[f"x{i}"] = name
        row = msgspec.defstruct(
            "Row", fields, rename=names, forbid_unknown_fields=True, gc=False, kw_only=True
        )
        self.read: Callable[[Any], Any] = msgspec.json.Decoder(row).decode
        self._lines = _generate(columns, escape=False)
        self._escaped_lines = _generate(columns, escape=True)

    def lines(self, changes: Sequence[ChangeEvent], rows: Sequence[Any]) -> list[str]:
        """A line a row: its columns, then the position of its change."""
        lines, quoted = self._lines(changes, rows)
        if "".join(lines).count(QUOTE) != 2 * quoted:
            lines, _ = self._escaped_lines(changes, rows)
        return lines


def _generate(columns: Sequence[Column], *, escape: bool) -> Lines:
    """
    One function for these columns. For two of them, an integer and a text:

        c0, c1 = row.c0, row.c1
        if c0 is None or c1 is None:
            nulls += (c1 is None)
            append(f"{null if c0 is None else c0},{…},{gen},{commit},{lsn}")
        else:
            append(f"{c0},…")
    """
    scope: dict[str, Any] = {"null": NULL, "escape": _escape, "nothing": NOTHING}
    names = [f"c{i}" for i in range(len(columns))]
    plain, nullable, quoted = [], [], []
    for name, column in zip(names, columns, strict=True):
        convert = pgtypes.converter(column.typname, is_array=column.is_array)
        scope[f"convert_{name}"] = convert
        value = name if convert is None else f"convert_{name}({name})"
        if not column.is_array:
            value = pgtypes.in_place(column.typname, name) or value
        if pgtypes.needs_quotes(column.typname, is_array=column.is_array):
            quoted.append(name)
            if escape:
                value = f"escape({value})"
            plain.append(f"{QUOTE}{{{value}}}{QUOTE}")
        else:
            plain.append(f"{{{value}}}")
        nullable.append(f"""{{null if {name} is None else f"{plain[-1]}"}}""")
    raws = "".join(
        f"        if {name} == nothing: {name} = None\n"
        for name, column in zip(names, columns, strict=True)
        if column.typname in pgtypes.FLOATS and not column.is_array
    )
    tail = ",{position.gen!r},{position.commit!r},{position.lsn!r}"
    source = (
        "def lines(changes, rows):\n"
        "    out, nulls = [], 0\n"
        "    append = out.append\n"
        "    for change, row in zip(changes, rows, strict=True):\n"
        "        position = change.position\n"
        f"        {'; '.join(f'{name} = row.{name}' for name in names)}\n"
        f"{raws}"
        f"        if {' or '.join(f'{name} is None' for name in names)}:\n"
        f"            nulls += {' + '.join(f'({name} is None)' for name in quoted) or '0'}\n"
        f"            append(f'''{','.join(nullable)}{tail}''')\n"
        "        else:\n"
        f"            append(f'''{','.join(plain)}{tail}''')\n"
        f"    return out, {len(quoted)} * len(out) - nulls\n"
    )
    exec(source, scope)  # built from numbers and the constants above only
    lines: Lines = scope["lines"]
    return lines


def _escape(value: Any) -> str:
    return str(value).replace(QUOTE, QUOTE + QUOTE)


def quoted(text: str) -> str:
    """A field of COPY's CSV."""
    return QUOTE + _escape(text) + QUOTE
