"""Keywords of JSON Schema that the check of contracts has no rule for; one direction alone."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from eventstore.accepts import refusals
from eventstore.compat import breaks
from eventstore.nodes import unclear
from tests.unit.test_contract_changes import limited, schema


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    ("field", "keyword"),
    [
        (SecretStr, "writeOnly"),
        (dict[Annotated[str, Field(pattern="^a")], int], "patternProperties"),
        (Open, "additionalProperties"),
        (Annotated[int, Field(json_schema_extra={"not": {"const": 3}})], "not"),
        (Annotated[str, Field(json_schema_extra={"if": {}, "x-owner": "us"})], "if"),
        (Annotated[Any, Field(json_schema_extra={"type": ["string", "null"]})], "type"),
    ],
)
def test_what_is_not_understood_is_refused_even_unchanged(field: Any, keyword: str) -> None:
    same = schema(a=field)
    assert unclear(same) == [("a", keyword)]
    assert [(each.path, repr(keyword) in each.changed) for each in breaks(same, same)] == [
        ("a", True)
    ]


def test_a_reference_to_nothing_is_not_understood() -> None:
    lost = {"type": "object", "properties": {"a": {"$ref": "#/$defs/Lost"}}}
    itself = {**lost, "$defs": {"Lost": {"$ref": "#/$defs/Lost"}}}
    assert unclear(lost) == unclear(itself) == [("a", "$ref")]
    assert refusals(lost, lost)[0].unknown == "$ref"


def test_one_direction_alone_may_allow_more() -> None:
    narrow, wide = schema(a=limited(int, le=3)), schema(a=int, b=(str, ""))
    assert refusals(reader=wide, writer=narrow) == []
    assert refusals(reader=narrow, writer=wide) != []
    read: Callable[..., Any] = refusals
    assert read(schema(a=str), schema(a=Literal["x", "y"])) == []
    assert read(schema(a=Any), schema(a=dict[str, int])) == []
    assert read(schema(a=int | str), schema(a=str)) == []
    assert read(schema(a=list[int]), schema(a=tuple[int, int])) == []
