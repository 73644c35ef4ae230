"""
Changes of one table -> lines for COPY. The hot path of the Postgres sink.

CSV with the quote character 0x01 and 0x02 for NULL: control characters, which data nearly never
has, so nothing is escaped. Whether it has is seen by two counts over the whole text: every value
brings two quotes, every NULL none. For each shape of row one function is generated, as
`dataclasses` does; names of columns never enter its source.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from consumer.event import NOTHING, ChangeEvent
from sinks import pgtypes

QUOTE = "\x01"
NULL = "\x02"

Lines = Callable[[Sequence[ChangeEvent], Sequence[Any]], list[str]]


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
        lines = self._lines(changes, rows)
        text = "".join(lines)
        values = len(self.columns) * len(lines) - text.count(NULL)
        if text.count(QUOTE) != 2 * values:
            return self._escaped_lines(changes, rows)
        return lines


def _generate(columns: Sequence[Column], *, escape: bool) -> Lines:
    """
    One function for these columns. For two of them:

        c0, c1 = row.c0, row.c1
        if c0 is None or c1 is None: append(f"{null if c0 is None else …},{…},{gen},{commit},{lsn}")
        else: append(f"…")
    """
    scope: dict[str, Any] = {"null": NULL, "escape": _escape, "nothing": NOTHING}
    names = [f"c{i}" for i in range(len(columns))]
    plain, nullable = [], []
    for name, column in zip(names, columns, strict=True):
        value = name
        convert = pgtypes.converter(column.typname, is_array=column.is_array)
        if convert is not None:
            scope[f"convert_{name}"] = convert
            value = f"convert_{name}({name})"
            plain_when = pgtypes.plain_when(column.typname)
            if plain_when is not None and not column.is_array:
                value = f"({name} if {plain_when.replace('v[', name + '[')} else {value})"
        if escape:
            value = f"escape({value})"
        quoted_value = f"{QUOTE}{{{value}}}{QUOTE}"
        plain.append(quoted_value)
        nullable.append(f"""{{null if {name} is None else f"{quoted_value}"}}""")
    raws = "".join(
        f"        if {name} == nothing: {name} = None\n"
        for name, column in zip(names, columns, strict=True)
        if column.typname in pgtypes.FLOATS and not column.is_array
    )
    tail = ",{gen},{commit},{lsn}"
    source = (
        "def lines(changes, rows):\n"
        "    out = []\n"
        "    append = out.append\n"
        "    for change, row in zip(changes, rows, strict=True):\n"
        "        gen, commit, lsn = change.position\n"
        f"        {'; '.join(f'{name} = row.{name}' for name in names)}\n"
        f"{raws}"
        f"        if {' or '.join(f'{name} is None' for name in names)}:\n"
        f"            append(f'''{','.join(nullable)}{tail}''')\n"
        "        else:\n"
        f"            append(f'''{','.join(plain)}{tail}''')\n"
        "    return out\n"
    )
    exec(source, scope)  # built from numbers and the constants above only
    lines: Lines = scope["lines"]
    return lines


def _escape(value: Any) -> str:
    return str(value).replace(QUOTE, QUOTE + QUOTE)


def quoted(text: str) -> str:
    """A field of COPY's CSV."""
    return QUOTE + _escape(text) + QUOTE
