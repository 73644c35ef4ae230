"""What a schema says beyond JSON Schema, and examples made from one."""

from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    ImportString,
    PastDate,
    field_validator,
    model_validator,
)

from eventstore.nodes import unclear
from eventstore.sample import NoSample, sample
from tests.unit.test_contract_changes import limited, schema


class Checked(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, AfterValidator(str.lower), AfterValidator(partial(max, "a"))]

    @field_validator("name")
    @classmethod
    def is_short(cls, name: str) -> str:
        return name

    @model_validator(mode="after")
    def is_whole(self) -> "Checked":
        return self


@pytest.mark.parametrize(
    ("field", "beyond"),
    [
        (int, None),
        (dict[str, int], None),
        (UUID, None),
        (limited(Decimal, gt=0, decimal_places=2), {"gt": 0, "decimal_places": 2}),
        (limited(date, ge=date(2026, 1, 2)), {"ge": "2026-01-02"}),
        (limited(timedelta, lt=timedelta(days=1)), {"lt": "1 day, 0:00:00"}),
        (PastDate, {"now_op": "past"}),
        (AwareDatetime, {"tz_constraint": "aware"}),
        (dict[UUID, int], {"keys": "uuid"}),
        (HttpUrl, {"allowed_schemes": ["http", "https"]}),
        (limited(int, strict=True), {"strict": True}),
        (complex, {"type": "complex"}),
        (ImportString, {"validators": ["import_string"]}),
        (Annotated[Any, AfterValidator(lambda value: value)], {"validators": ["<lambda>"]}),
    ],
)
def test_what_json_schema_has_no_word_for_is_said(field: Any, beyond: object) -> None:
    assert schema(a=field)["properties"]["a"].get("x-python") == beyond


def test_all_validators_of_a_model_are_named() -> None:
    whole = schema(a=Checked)
    model = whole["$defs"]["Checked"]
    names = ["str.lower", "max", "Checked.is_short"]
    assert model["properties"]["name"]["x-python"]["validators"] == names
    told = str(whole)
    assert "is_whole" in told
    assert "str_strip_whitespace" in told
    assert "'title': 'Name'" not in told


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (limited(str, pattern="^x"), "a has a format or pattern of its own"),
        (PastDate, "a is checked by Python"),
        (Checked, "checked by Python"),
        (limited(set[int], min_length=2), "a wants several different items"),
        (limited(dict[str, int], min_length=2), "a wants several keys"),
    ],
)
def test_no_example_is_made_that_might_be_wrong(field: Any, told: str) -> None:
    whole = schema(a=field)
    assert unclear(whole) == []
    with pytest.raises(NoSample, match=told):
        sample(whole, sure=True)
    assert sample(schema(a=(field, None)), optional=False, sure=True) == {}


def test_examples_of_the_user_come_first() -> None:
    field = Annotated[str, Field(pattern="^r", examples=["r12"])]
    assert sample(schema(a=field), sure=True) == {"a": "r12"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (limited(int, gt=3, lt=5), 4),
        (limited(int, le=-3), -3),
        (limited(float, gt=0, lt=1), 0.5),
        (limited(int, ge=4, multiple_of=5), 5),
        (limited(str, min_length=6), "textxx"),
        (limited(str, max_length=2), "te"),
        (tuple[int, bool], [1, True]),
        (dict[int, str], {"1": "text"}),
        (None, None),
    ],
)
def test_examples_keep_to_limits(field: Any, value: object) -> None:
    assert sample(schema(a=field), sure=True) == {"a": value}
