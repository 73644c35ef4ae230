"""
How Debezium writes a Postgres value, and what text Postgres takes back for it.

With the connector settings of connectors/source.json nearly every value arrives as text that
Postgres reads as it is; the exceptions are here. A type is listed only if all its values were
seen to survive the way (docs/types.md); a type that is not listed is refused by name at start.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

# Text that Postgres takes back unchanged.
PLAIN = frozenset(
    "text varchar bpchar char name citext uuid json jsonb ltree tsvector interval inet cidr "
    "macaddr macaddr8 money int4range int8range numrange daterange tsrange tstzrange enum "
    "time".split()
)
INTEGERS = frozenset("int2 int4 int8 oid".split())
FLOATS = frozenset("float4 float8".split())
DATES = frozenset("date timestamp timestamptz".split())
ARRAYS_OF = frozenset(
    "int2 int4 int8 float8 bool text varchar bpchar uuid json jsonb inet citext macaddr "
    "int4range".split()
)

Convert = Callable[[Any], str]


def value_type(typname: str, *, is_array: bool) -> Any:
    """The msgspec type that a column's JSON value must have. Raises KeyError if not supported."""
    if is_array:
        if typname not in ARRAYS_OF:
            raise KeyError(typname)
        return list[Any] | None
    if typname in INTEGERS:
        return int | None
    if typname in FLOATS:
        return msgspec.Raw  # the digits as they came: making a float and its text costs most
    if typname in ("bool", "bit"):
        return bool | None
    if typname == "point":
        return dict[str, Any] | None
    if typname in PLAIN or typname in DATES or typname in ("numeric", "bytea", "hstore"):
        return str | None
    raise KeyError(typname)


def needs_quotes(typname: str, *, is_array: bool) -> bool:
    """Whether a value of the type, as text, may hold a comma, a quote or a line's end."""
    return is_array or typname not in INTEGERS | {"bool", "bit"}


def converter(typname: str, *, is_array: bool) -> Convert | None:
    """What a non-null value still needs; None where it is taken as it is."""
    if is_array:
        return array
    if typname in DATES:
        return date
    if typname in FLOATS:
        return number
    return _CONVERTERS.get(typname)


def number(value: msgspec.Raw) -> str:
    """A float's own digits; NaN and the infinities come as strings."""
    return str(value, "ascii").strip('"')


def in_place(typname: str, value: str) -> str | None:
    """
    Python source that writes the value of a variable, where that is cheaper than a call of its
    converter: nearly always none is needed, and asking costs less than the call.
    """
    if typname in INTEGERS:
        return f"{value}!r"
    if typname == "bool":
        return f"'t' if {value} else 'f'"
    if typname in DATES:
        return f"{value} if {value} >= '0001' else convert_{value}({value})"
    if typname == "numeric":
        return f"{value} if {value} < 'A' else convert_{value}({value})"
    return None


def numeric(value: str) -> str:
    """Infinity and NaN under Postgres' names."""
    return _INFINITE.get(value, value)


_INFINITE = {"POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity", "NAN": "NaN"}


def bytea(value: str) -> str:
    """Hex digits get Postgres' prefix."""
    return "\\x" + value


def bit(value: bool) -> str:
    """A bit(1) arrives as a boolean."""
    return "1" if value else "0"


def point(value: dict[str, Any]) -> str:
    """A point arrives as an object of two numbers."""
    return f"({value['x']},{value['y']})"


def date(value: str) -> str:
    """
    ISO 8601 as it is; what lies outside the years 0001 to 9999 begins with a sign.

    Infinite dates and timestamps arrive as the ends of Java's ranges, which differ between
    snapshot and stream (an overflow has even turned one sign); years before Christ are
    astronomical: year 0 is 1 BC.
    """
    if value.startswith("0000-"):
        return f"0001{value[4:]} BC"
    if value[:1] not in ("+", "-") or value == "-infinity":
        return value
    if value.startswith(_POSITIVE_ENDS):
        return "infinity"
    if value.startswith(_NEGATIVE_ENDS):
        return "-infinity"
    match = _EXTREME.fullmatch(value)
    if match is None:
        raise ValueError("no date")
    sign, year, rest = match.groups()
    if sign == "+":
        return f"{int(year)}{rest}"
    return f"{int(year) + 1:04d}{rest} BC"


_POSITIVE_ENDS = ("+292278994-08-1", "+5877611-06-2", "+294247-01-10")
_NEGATIVE_ENDS = ("+292269055-12-0", "-292275055-05-1", "-5877611-06-2", "-290308-12-2")
_EXTREME = re.compile(r"([+-])(\d+)(-.*)", re.DOTALL)


def array(value: list[Any]) -> str:
    """A one-dimensional array literal."""
    return "{" + ",".join(map(_element, value)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (int, float)):
        return repr(value)
    raise ValueError("an array of more than one dimension")


def hstore(value: str) -> str:
    """An hstore arrives as a JSON object."""
    pairs = msgspec.json.decode(value, type=dict[str, str | None])
    return ",".join(
        f"{_element(key)}=>{'NULL' if item is None else _element(item)}"
        for key, item in pairs.items()
    )


_CONVERTERS: dict[str, Convert] = {
    "numeric": numeric,
    "bytea": bytea,
    "bit": bit,
    "hstore": hstore,
    "point": point,
}
