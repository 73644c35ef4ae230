"""
Which column types survive the way through Debezium's JSON, under the settings of `source.json`.

Every entry was tried against PostgreSQL and Debezium 3.7 with normal, extreme and NULL values,
in snapshots and streaming. Types that were not tried are not trusted.
"""

from dataclasses import dataclass


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NULL_ELEMENT = "arrives as NULL as a whole when one element is NULL"
_UNTRIED = "is of a type that has not been tried with Debezium"
_ENCODED = "arrives in a code of Debezium's that no sink reads"

ABSENT_ARRAYS = frozenset({"interval", "money", "varbit", "point", "xml"})
LOSSY = {
    "varbit": "loses its length",
    "xml": "loses its <?xml ...?> declaration",
    "timetz": "is moved to UTC and loses its zone",
} | dict.fromkeys(
    "line circle lseg box path polygon tsquery pg_lsn xid8 jsonpath regclass".split(), _ENCODED
)
ENCODED_KINDS = frozenset("cm")  # composite, multirange
LOSSY_ARRAYS = {
    "bit": "always arrives as NULL",
    "time": "is cut to milliseconds",
    "numeric": "arrives as NULL as a whole when one element is NULL or NaN",
    "date": "arrives garbled when one element is -infinity",
    "timestamptz": "arrives garbled when one element is -infinity or before Christ",
} | dict.fromkeys(["ltree", "pg_lsn", "tsquery", "xid8", "jsonpath", "regclass"], _NULL_ELEMENT)
LOSSY_ARRAY_KINDS = frozenset("edcm")  # enum, domain, composite, multirange

SCALARS = _names(
    """
    int2 int4 int8 oid numeric float4 float8 bool money text varchar bpchar char name citext uuid
    json jsonb ltree tsvector interval inet cidr macaddr macaddr8 timestamp timestamptz date time
    bytea bit hstore point int4range int8range numrange daterange tsrange tstzrange
    """
)
ARRAYS = _names(
    """
    int2 int4 int8 float8 bool text varchar bpchar uuid json jsonb inet citext macaddr int4range
    """
)
ONE_BIT = frozenset({"bit", "bit(1)"})

PLACEHOLDER_SCALARS = _names(
    "text varchar bpchar citext json jsonb xml numeric tsvector ltree bytea hstore"
)
PLACEHOLDER_ARRAYS = frozenset({"text", "varchar", "jsonb"})
NEVER_LARGE = frozenset({"inet", "cidr", "bit"})


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column as the catalogue has it. `type` and `kind` (pg_type.typtype) are those below any
    domain, and the element's when `is_array`; `shown` is the declared type.
    """

    name: str
    shown: str
    type: str
    kind: str
    is_array: bool
    dimensions: int
    toastable: bool
    generated: bool


def loss(column: Column) -> str | None:
    """What goes wrong with some or all values of this column, or None when they arrive whole."""
    if column.generated:
        return (
            "is generated: sinks leave it alone, and snapshots of single tables pass this one over"
        )
    return _loss_of_array(column) if column.is_array else _loss_of_scalar(column)


def _loss_of_scalar(column: Column) -> str | None:
    if column.kind in ENCODED_KINDS or (column.type == "bit" and column.shown not in ONE_BIT):
        return _ENCODED
    known = column.type in SCALARS or column.kind == "e"
    return LOSSY.get(column.type, None if known else _UNTRIED)


def _loss_of_array(column: Column) -> str | None:
    if column.dimensions > 1:
        return "has several dimensions, and such arrays arrive as garbage"
    if column.type in ABSENT_ARRAYS:
        return "is left out of every event"
    if column.type in LOSSY_ARRAYS:
        return LOSSY_ARRAYS[column.type]
    if column.kind in LOSSY_ARRAY_KINDS:
        return _NULL_ELEMENT
    return None if column.type in ARRAYS else _UNTRIED


def needs_full_identity(column: Column) -> bool:
    """
    Whether an unchanged large (TOAST) value arrives as a plain NULL, or in a form that cannot be
    told from a value, unless the log holds the old row: REPLICA IDENTITY FULL.
    """
    if not column.toastable or column.generated:
        return False
    if column.is_array:
        return column.type not in PLACEHOLDER_ARRAYS
    if column.kind == "r" or column.type in NEVER_LARGE:
        return False
    return column.type not in PLACEHOLDER_SCALARS
