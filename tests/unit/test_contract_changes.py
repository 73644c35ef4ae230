"""What may change in an event of one version, and what may not: eventstore/compat.py."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)

from eventstore import catalogue
from eventstore.compat import BACKWARD, BOTH, FORWARD, Break, breaks
from eventstore.contracts import Contract, Event
from eventstore.nodes import Schema


def schema(base: type[BaseModel] = Event, /, **fields: Any) -> Schema:
    model: Any = create_model("Held", __base__=base, **fields)
    return catalogue.schema(Contract("hotel.room.held", 1, model))


def changed(old: dict[str, Any], new: dict[str, Any]) -> list[Break]:
    return breaks(schema(**old), schema(**new))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Fewer(Enum):
    RED = "red"


class Money(BaseModel):
    amount: int


class MoneyAndMore(BaseModel):
    amount: int
    currency: str = "EUR"


class MoneyOfNeed(BaseModel):
    amount: int
    currency: str


class MoneyAsText(BaseModel):
    amount: str


class Tree(BaseModel):
    value: int
    kids: list["Tree"] = []


class TreeAndMore(BaseModel):
    value: int
    kids: list["TreeAndMore"] = []
    note: str = ""


class TreeOfSmall(BaseModel):
    value: Annotated[int, Field(lt=10)]
    kids: list["TreeOfSmall"] = []


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class CardAndMore(BaseModel):
    kind: Literal["card"] = "card"
    number: str
    holder: str = ""


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"


class Cheque(BaseModel):
    kind: Literal["cheque"] = "cheque"


class Point(NamedTuple):
    x: int
    y: int


class Deep(NamedTuple):
    x: int
    y: int
    z: int = 0


@dataclass
class Plain:
    amount: int


class Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def even(value: int) -> int:
    return value


def tagged(*kinds: Any) -> Any:
    whole = kinds[0]
    for kind in kinds[1:]:
        whole = whole | kind
    return Annotated[whole, Field(discriminator="kind")]


def limited(kind: Any, **limits: Any) -> Any:
    return Annotated[kind, Field(**limits)]


ALLOWED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the same": ({"a": int}, {"a": int}),
    "an optional field": ({"a": int}, {"a": int, "b": (str, "")}),
    "one that may be null": ({"a": int}, {"a": int, "b": (str | None, None)}),
    "one with a list": ({"a": int}, {"a": int, "b": (list[int], [])}),
    "the order of fields": ({"a": int, "b": int}, {"b": int, "a": int}),
    "words": ({"a": int}, {"a": limited(int, description="how many", examples=[3])}),
    "more than 0 is at least 1": ({"a": limited(int, gt=0)}, {"a": limited(int, ge=1)}),
    "a model's optional field": ({"a": Money}, {"a": MoneyAndMore}),
    "inside a list": ({"a": list[Money]}, {"a": list[MoneyAndMore]}),
    "inside a dict": ({"a": dict[str, Money]}, {"a": dict[str, MoneyAndMore]}),
    "inside what may be null": ({"a": Money | None}, {"a": MoneyAndMore | None}),
    "inside a tuple": ({"a": tuple[int, Money]}, {"a": tuple[int, MoneyAndMore]}),
    "a model that holds itself": ({"a": Tree}, {"a": TreeAndMore}),
    "a kind's optional field": ({"a": tagged(Card, Cash)}, {"a": tagged(CardAndMore, Cash)}),
    "the order of kinds": ({"a": tagged(Card, Cash)}, {"a": tagged(Cash, Card)}),
    "the place of null": ({"a": int | str | None}, {"a": None | int | str}),
    "a literal as an enum": ({"a": Literal["red", "blue"]}, {"a": Colour}),
    "a dataclass as a model": ({"a": Plain}, {"a": Money}),
}

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, str]] = {
    "a field is gone": (
        {"a": int, "b": (int, 1)},
        {"a": int},
        "b",
        "was there and is absent",
        "would be forgotten",
    ),
    "a required one is gone": (
        {"a": int, "b": int},
        {"a": int},
        "b",
        "was required and is absent",
        FORWARD,
    ),
    "a new one is required": (
        {"a": int},
        {"a": int, "b": int},
        "b",
        "was absent and is required",
        BACKWARD,
    ),
    "another name": ({"a": int}, {"b": int}, "b", "was absent and is required", BACKWARD),
    "its default is code": (
        {"a": int},
        {"a": int, "b": limited(list[int], default_factory=list)},
        "b",
        "is new and its default is made by code",
        "read differently each time",
    ),
    "another default": (
        {"a": (int, 1)},
        {"a": (int, 2)},
        "a",
        "had the default 1 and has 2",
        "say something else",
    ),
    "it may be left out": ({"a": int}, {"a": (int, 1)}, "a", "required and is optional", FORWARD),
    "it must be there": ({"a": (int, 1)}, {"a": int}, "a", "optional and is required", BACKWARD),
    "another type": ({"a": int}, {"a": str}, "a", "was integer and is string", BOTH),
    "wider numbers": ({"a": int}, {"a": float}, "a", "was integer and is number", BOTH),
    "null comes": ({"a": int}, {"a": int | None}, "a", "is integer or null", FORWARD),
    "null goes": ({"a": int | None}, {"a": int}, "a", "was integer or null", BACKWARD),
    "a value comes": (
        {"a": Literal["x"]},
        {"a": Literal["x", "y"]},
        "a",
        "was one of 'x' and is one of 'x', 'y'",
        FORWARD,
    ),
    "a value goes": ({"a": Colour}, {"a": Fewer}, "a", "and is one of 'red'", BACKWARD),
    "1 is not true": ({"a": Literal[1]}, {"a": Literal[True]}, "a", "one of 1", BOTH),
    "any text": ({"a": Colour}, {"a": str}, "a", "and is string", FORWARD),
    "a format": ({"a": str}, {"a": UUID}, "a", "without a format and is of format", BACKWARD),
    "another format": ({"a": date}, {"a": datetime}, "a", "of format date and is of", BOTH),
    "a higher bound": (
        {"a": limited(int, le=14)},
        {"a": limited(int, le=30)},
        "a",
        "was at most 14 and is at most 30",
        FORWARD,
    ),
    "a lower bound": (
        {"a": limited(float, gt=0)},
        {"a": limited(float, ge=0)},
        "a",
        "at least 0, that itself excluded and is at least 0",
        FORWARD,
    ),
    "a bound comes": ({"a": int}, {"a": limited(int, gt=3)}, "a", "and is at least 4", BACKWARD),
    "a divisor": ({"a": int}, {"a": limited(int, multiple_of=5)}, "a", "divisor 5", BACKWARD),
    "longer texts": (
        {"a": limited(str, max_length=3)},
        {"a": limited(str, max_length=4)},
        "a",
        "at most 3 characters and is at most 4",
        FORWARD,
    ),
    "a pattern": ({"a": str}, {"a": limited(str, pattern="^x")}, "a", "pattern ^x", BACKWARD),
    "another pattern": (
        {"a": limited(str, pattern="^x")},
        {"a": limited(str, pattern="^y")},
        "a",
        "of pattern ^x and is of pattern ^y",
        BOTH,
    ),
    "shorter lists": (
        {"a": list[int]},
        {"a": limited(list[int], min_length=1)},
        "a",
        "is at least 1 items",
        BACKWARD,
    ),
    "no repeats": ({"a": list[int]}, {"a": set[int]}, "a", "is without repeats", BACKWARD),
    "items": ({"a": list[int]}, {"a": list[str]}, "a[]", "integer and is string", BOTH),
    "a longer tuple": ({"a": Point}, {"a": Deep}, "a", "was at most 2 items", FORWARD),
    "a tuple's item": (
        {"a": tuple[int, str]},
        {"a": tuple[int, int]},
        "a[1]",
        "was string and is integer",
        BOTH,
    ),
    "a list, not a tuple": (
        {"a": tuple[int, int]},
        {"a": list[int]},
        "a",
        "was at most 2 items and is unlimited",
        FORWARD,
    ),
    "keys of a dict": (
        {"a": dict[str, int]},
        {"a": dict[int, int]},
        "a",
        "is checked by Python for keys int",
        BACKWARD,
    ),
    "values of a dict": (
        {"a": dict[str, int]},
        {"a": dict[str, bool]},
        "a{}",
        "was integer and is boolean",
        BOTH,
    ),
    "a dict, not a model": ({"a": Money}, {"a": dict[str, int]}, "a", "was Money", BOTH),
    "anything": ({"a": int}, {"a": Any}, "a", "was integer and is anything", FORWARD),
    "a model's new need": (
        {"a": Money},
        {"a": MoneyOfNeed},
        "a.currency",
        "was absent and is required",
        BACKWARD,
    ),
    "a model's field": ({"a": MoneyAndMore}, {"a": Money}, "a.currency", "is absent", "forgotten"),
    "a field deep down": (
        {"a": dict[str, list[Money | None]]},
        {"a": dict[str, list[MoneyAsText | None]]},
        "a{}[].amount",
        "was integer and is string",
        BOTH,
    ),
    "a model that holds itself": (
        {"a": Tree},
        {"a": TreeOfSmall},
        "a.value",
        "was unlimited and is at most 9",
        BACKWARD,
    ),
    "a kind comes": (
        {"a": tagged(Card, Cash)},
        {"a": tagged(Card, Cash, Cheque)},
        "a",
        "was one of the kinds card, cash and is one of the kinds card, cash, cheque",
        FORWARD,
    ),
    "a kind's field": (
        {"a": tagged(CardAndMore, Cash)},
        {"a": tagged(Card, Cash)},
        "a(card).holder",
        "was there and is absent",
        "forgotten",
    ),
    "a tag goes": ({"a": tagged(Card, Cash)}, {"a": Card | Cash}, "a", "one of the kinds", BOTH),
    "no tag, so no change": (
        {"a": Money | Plain},
        {"a": MoneyAndMore | Plain},
        "a",
        "one of several models that nothing tells apart",
        "taken for another",
    ),
    "the order of alternatives": (
        {"a": str | date},
        {"a": date | str},
        "a",
        "alternatives in another order",
        "the first that fits",
    ),
    "the digits of a number": (
        {"a": limited(Decimal, max_digits=5)},
        {"a": limited(Decimal, max_digits=4)},
        "a",
        "was checked by Python for max_digits 5 and is checked by Python for max_digits 4",
        BOTH,
    ),
    "a validator": (
        {"a": int},
        {"a": Annotated[int, AfterValidator(even)]},
        "a",
        "is checked by Python for validators ['even']",
        BACKWARD,
    ),
    "time zones": ({"a": datetime}, {"a": AwareDatetime}, "a", "tz_constraint aware", BACKWARD),
    "white space": (
        {"a": str},
        {"a": Annotated[str, StringConstraints(strip_whitespace=True)]},
        "a",
        "strip_whitespace",
        BACKWARD,
    ),
    "earliest date": ({"a": date}, {"a": limited(date, gt=date(2020, 1, 1))}, "a", "gt", BACKWARD),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_these_keep_the_version(case: str) -> None:
    assert changed(*ALLOWED[case]) == []


@pytest.mark.parametrize("case", REFUSED)
def test_these_need_a_new_version(case: str) -> None:
    old, new, path, told, because = REFUSED[case]
    found = {each.path: each for each in changed(old, new)}
    assert path in found, found
    assert told in found[path].changed
    assert because in found[path].because


def test_a_strict_model_is_another_one() -> None:
    found = breaks(schema(Loose, a=int), schema(Strict, a=int))
    assert [(each.path, each.because) for each in found] == [("", BACKWARD)]
