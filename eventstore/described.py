"""
An event's JSON Schema, with what pydantic checks beyond JSON Schema's words as `x-python`.

Else a change of a validator's name, the digits of a Decimal or the earliest date would not be seen.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

BEYOND = "x-python"

_BOUNDS = ("ge", "gt", "le", "lt")
_UNSAID: Mapping[str, tuple[str, ...]] = {
    "date": (*_BOUNDS, "now_op", "strict"),
    "datetime": (*_BOUNDS, "now_op", "tz_constraint", "strict"),
    "time": (*_BOUNDS, "tz_constraint", "strict"),
    "timedelta": (*_BOUNDS, "strict"),
    "decimal": (*_BOUNDS, "multiple_of", "max_digits", "decimal_places", "strict"),
    "float": ("allow_inf_nan", "strict"),
    "int": ("strict",),
    "bool": ("strict",),
    "str": ("strip_whitespace", "to_lower", "to_upper", "strict"),
    "bytes": ("strict",),
    "url": ("allowed_schemes", "host_required"),
    "multi-host-url": ("allowed_schemes", "host_required"),
    "uuid": ("strict",),
    "enum": ("strict",),
    "union": ("mode", "strict"),
    "model": (
        "strict",
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "str_min_length",
        "str_max_length",
        "coerce_numbers_to_str",
        "allow_inf_nan",
        "val_json_bytes",
        "ser_json_bytes",
        "ser_json_timedelta",
        "ser_json_temporal",
    ),
}


class Described(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """As pydantic does, and what that leaves unsaid."""
        made = super().generate_inner(schema)
        unsaid = _unsaid(schema)
        if unsaid:
            before = made.get(BEYOND, {})
            validators = before.get("validators", []) + unsaid.get("validators", [])
            both = {**before, **unsaid, **({"validators": validators} if validators else {})}
            made = {**made, BEYOND: both}
        return made


def _unsaid(schema: CoreSchema) -> dict[str, Any]:
    said: Mapping[str, Any] = schema
    kind = said["type"]
    if kind.startswith("function-"):
        name = _validator(said["function"]["function"])
        return {"validators": [name]} if name else {}
    if kind == "dict":
        keys = said.get("keys_schema", {"type": "str"})["type"]
        return {} if keys in ("str", "any") else {"keys": keys}
    if kind == "model":
        said = said.get("config", {})
    return {key: _json(said[key]) for key in _UNSAID.get(kind, ()) if said.get(key) is not None}


def _validator(function: Callable[..., Any]) -> str:
    """Of the user's own code; pydantic's are how it makes its types, and change with it."""
    own = not getattr(function, "__module__", "pydantic").startswith(("pydantic", "builtins"))
    return getattr(function, "__qualname__", repr(type(function))) if own else ""


def _json(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list) else str(value)
