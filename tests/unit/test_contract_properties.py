"""
If the rules say that a reader accepts what a writer writes, then pydantic accepts it: for random
models, random changes of them, and random values.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from pydantic import BaseModel, Field, create_model

from eventstore import accepts, catalogue
from eventstore.accepts import refusals
from eventstore.compat import breaks
from eventstore.contracts import Contracts, Event, Invalid
from eventstore.sample import NoSample, sample

NAME = "hotel.room.held"
QUICK = settings(
    max_examples=2000,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Limits = tuple[int | None, int | None]


@dataclass(frozen=True)
class Kind:
    """A type, in a form that can be changed: `parts` are the types in it."""

    word: str
    parts: tuple["Kind", ...] = ()
    limits: Limits = (None, None)
    values: tuple[str | int, ...] = ()
    fields: tuple["Slot", ...] = ()


@dataclass(frozen=True)
class Slot:
    """A field; `default` is JSON text, or None where it is required."""

    name: str
    kind: Kind
    default: str | None = None


LIMITS: Any = st.sampled_from([(None, None), (0, None), (None, 3), (1, 3), (0, 2)])
DAYS = st.dates().map(date.isoformat)
NO_STRINGS: st.SearchStrategy[str] = st.nothing()
HASHABLE: Any = st.one_of(
    st.builds(Kind, st.just("int"), limits=LIMITS),
    st.builds(Kind, st.just("str"), limits=LIMITS),
    st.builds(Kind, st.sampled_from(["bool", "date"])),
    st.builds(
        lambda some: Kind("literal", values=tuple(some)),
        st.lists(st.sampled_from(["x", "y", 1, 2]), min_size=1, max_size=3, unique=True),
    ),
)
LEAVES: Any = HASHABLE | st.just(Kind("any"))


def wrapped(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    one = st.tuples(inner)
    some = st.lists(inner, min_size=2, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Kind, st.sampled_from(["null", "dict"]), one),
        st.builds(Kind, st.just("set"), st.tuples(HASHABLE), LIMITS),
        st.builds(Kind, st.just("list"), one, LIMITS),
        st.builds(Kind, st.sampled_from(["union", "tuple"]), some),
        slots(inner).map(lambda fields: Kind("model", fields=fields)),
        st.lists(slots(inner), min_size=1, max_size=2).map(
            lambda all_: Kind("tagged", tuple(Kind("model", fields=each) for each in all_))
        ),
    )


@st.composite
def slots(draw: Any, inner: st.SearchStrategy[Kind]) -> tuple[Slot, ...]:
    names = draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True))
    return tuple(draw(slot(name, inner)) for name in names)


@st.composite
def slot(draw: Any, name: str, inner: st.SearchStrategy[Kind]) -> Slot:
    kind = draw(inner)
    default = json.dumps(draw(values(kind))) if draw(st.booleans()) else None
    return Slot(name, kind, default)


KINDS = st.recursive(LEAVES, wrapped, max_leaves=4)
MODELS: Any = slots(KINDS).map(lambda fields: Kind("model", fields=fields))
FLAT: Any = slots(LEAVES).map(lambda fields: Kind("model", fields=fields))


def values(kind: Kind) -> st.SearchStrategy[Any]:
    least, most = kind.limits
    size: dict[str, Any] = {"min_size": least or 0, "max_size": 4 if most is None else most}
    inner = [values(each) for each in kind.parts]
    made: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "int": lambda: st.integers(-2 if least is None else least, 5 if most is None else most),
        "str": lambda: st.text("ab1", **size) | (NO_STRINGS if least or most else DAYS),
        "bool": st.booleans,
        "date": lambda: DAYS,
        "any": lambda: st.sampled_from([None, 1, "a", [], {}]),
        "literal": lambda: st.sampled_from(kind.values),
        "null": lambda: st.none() | inner[0],
        "dict": lambda: st.dictionaries(st.text("ab", max_size=2), inner[0], max_size=2),
        "list": lambda: st.lists(inner[0], **size),
        "set": lambda: st.lists(inner[0], **size, unique_by=json.dumps),
        "union": lambda: st.one_of(inner),
        "tuple": lambda: st.tuples(*inner).map(list),
        "model": lambda: objects(kind),
        "tagged": lambda: st.one_of(
            [objects(each, {"kind": f"k{i}"}) for i, each in enumerate(kind.parts)]
        ),
    }
    return made[kind.word]()


def objects(kind: Kind, tag: dict[str, str] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    needed = {each.name: values(each.kind) for each in kind.fields if each.default is None}
    spare = {each.name: values(each.kind) for each in kind.fields if each.default is not None}
    return st.fixed_dictionaries(needed, optional=spare).map(lambda found: found | (tag or {}))


def typed(kind: Kind) -> Any:
    least, most = kind.limits
    inner = [typed(each) for each in kind.parts]
    numbers, sizes = Field(ge=least, le=most), Field(min_length=least, max_length=most)
    made: dict[str, Callable[[], Any]] = {
        "int": lambda: Annotated[int, numbers],
        "str": lambda: Annotated[str, sizes],
        "bool": lambda: bool,
        "date": lambda: date,
        "any": lambda: Any,
        "literal": lambda: Literal[kind.values],
        "null": lambda: inner[0] | None if inner[0] is not Any else Any,
        "dict": lambda: dict[str, inner[0]],  # type: ignore[valid-type]
        "list": lambda: Annotated[list[inner[0]], sizes],  # type: ignore[valid-type]
        "set": lambda: Annotated[set[inner[0]], sizes],  # type: ignore[valid-type]
        "union": lambda: inner[0] | inner[1] if Any not in inner else Any,
        "tuple": lambda: tuple[inner[0], inner[1]],  # type: ignore[valid-type]
        "model": lambda: model(kind),
        "tagged": lambda: tagged(kind),
    }
    return made[kind.word]()


def model(kind: Kind, base: type[BaseModel] = BaseModel, tag: str | None = None) -> Any:
    fields: dict[str, Any] = {"kind": Literal[tag]} if tag else {}
    for each in kind.fields:
        default = ... if each.default is None else json.loads(each.default)
        fields[each.name] = (typed(each.kind), Field(default, validate_default=True))
    return create_model("Made", __base__=base, **fields)


def tagged(kind: Kind) -> Any:
    first, *others = (model(each, tag=f"k{i}") for i, each in enumerate(kind.parts))
    whole = first
    for other in others:
        whole = whole | other
    return Annotated[whole, Field(discriminator="kind")] if others else first


@st.composite
def change(draw: Any, kind: Kind) -> Kind:
    """The kind with one thing changed somewhere in it, or with none."""
    how = draw(st.sampled_from([*["inside"] * 6, "limits", "wrap", "other"]))
    if how == "inside" and kind.word == "model":
        return replace(kind, fields=draw(change_of_fields(kind.fields)))
    if how == "inside" and kind.parts and kind.word != "set":
        at = draw(st.integers(0, len(kind.parts) - 1))
        parts = [*kind.parts]
        of_kind = kind.word == "tagged"
        fields = draw(change_of_fields(parts[at].fields)) if of_kind else ()
        parts[at] = replace(parts[at], fields=fields) if of_kind else draw(change(parts[at]))
        return replace(kind, parts=tuple(parts))
    if how in ("inside", "limits") and kind.word in ("int", "str", "list", "set"):
        return replace(kind, limits=draw(LIMITS))
    if how == "limits" and kind.word == "union":
        return replace(kind, parts=kind.parts[::-1])
    if how == "inside" and kind.values:
        return replace(kind, values=(*kind.values[:1], "z"))
    if how == "wrap":
        return Kind("null", (kind,)) if kind.word != "null" else kind.parts[0]
    return draw(KINDS) if how == "other" and kind.word != "model" else kind


@st.composite
def change_of_fields(draw: Any, fields: tuple[Slot, ...]) -> tuple[Slot, ...]:
    how = draw(st.sampled_from(["add", "remove", "turn", "default", *["inside"] * 6]))
    if how == "add":
        name = draw(st.sampled_from(["n", "m"]))
        return (*(each for each in fields if each.name != name), draw(slot(name, KINDS)))
    if not fields:
        return fields
    at = draw(st.integers(0, len(fields) - 1))
    one, rest = fields[at], [*fields[:at], *fields[at + 1 :]]
    if how == "default":
        return (*rest, draw(slot(one.name, st.just(one.kind))))
    if how == "inside":
        kind = draw(change(one.kind))
        default = (
            one.default and json.dumps(draw(values(kind))) if kind != one.kind else one.default
        )
        return (*rest, replace(one, kind=kind, default=default))
    return tuple(rest) if how == "remove" else (*rest, one)


@st.composite
def pairs(draw: Any, models: st.SearchStrategy[Kind] = MODELS) -> tuple[Kind, Kind, list[Any]]:
    """What the writer has, what the reader has, and values of the writer's."""
    one = draw(models)
    other = replace(one, fields=draw(change_of_fields(one.fields)))
    writer, reader = (one, other) if draw(st.booleans()) else (other, one)
    return writer, reader, draw(st.lists(values(writer), min_size=3, max_size=3))


def contracts(kind: Kind) -> Contracts:
    made = Contracts("/hotel")
    made.event(NAME)(model(kind, Event))
    return made


def written(writer: Contracts, some: list[Any]) -> list[str]:
    """As the writer writes them."""
    return [writer.encode(writer.decode(NAME, 1, json.dumps(each))) for each in some]


def refused(writer: Contracts, reader: Contracts, some: list[Any]) -> str | None:
    """What the reader has against one of them, as it was given or as the writer writes it."""
    for each in [*map(json.dumps, some), *written(writer, some)]:
        try:
            reader.decode(NAME, 1, each)
        except Invalid as error:
            return f"{each}: {error}"
    return None


def same(one: Any, other: Any) -> bool:
    """Where both say something, they say the same; sets have no order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        in_order = len(one) == len(other) and all(map(same, one, other))
        return in_order or sorted(map(json.dumps, one)) == sorted(map(json.dumps, other))
    return type(one) is type(other) and bool(one == other)


def schema(made: Contracts) -> Any:
    return catalogue.schema(made[NAME])


def test_what_is_said_to_be_accepted_is_accepted() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=200, suppress_health_check=list(HealthCheck))
    @given(pairs())
    def holds(pair: tuple[Kind, Kind, list[Any]]) -> None:
        writer, reader = contracts(pair[0]), contracts(pair[1])
        schemas = schema(writer), schema(reader)
        if refusals(reader=schemas[1], writer=schemas[0]):
            seen["refused"] += 1
            return
        assert refused(writer, reader, pair[2]) is None
        seen["accepted"] += pair[0] != pair[1]
        if not breaks(*schemas):
            for text in written(writer, pair[2]):
                read = reader.encode(reader.decode(NAME, 1, text))
                assert same(json.loads(text), json.loads(read))
            seen["compatible"] += pair[0] != pair[1]

    holds()
    assert min(seen[each] for each in ("refused", "accepted", "compatible")) >= 10, seen


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(MODELS, st.booleans())
def test_an_example_that_is_sure_is_accepted(kind: Kind, optional: bool) -> None:
    made = contracts(kind)
    try:
        example = sample(schema(made), optional=optional, sure=True)
    except NoSample:
        return
    made.encode(made.decode(NAME, 1, example))


@pytest.mark.parametrize("rule", ["_limits", "_same_shape", "required"])
def test_without_a_rule_something_is_refused(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above would see it."""
    broken: dict[str, Any] = {
        "_limits": lambda *_: [],
        "_same_shape": lambda reader, writer: reader.is_struct == writer.is_struct,
        "required": lambda _: frozenset(),
    }
    monkeypatch.setattr(accepts, rule, broken[rule])

    def wrong(pair: tuple[Kind, Kind, list[Any]]) -> bool:
        writer, reader = contracts(pair[0]), contracts(pair[1])
        fine = not refusals(schema(reader), schema(writer))
        return fine and refused(writer, reader, pair[2]) is not None

    try:
        find(pairs(FLAT), wrong, settings=QUICK)
    except NoSuchExample:
        pytest.fail(f"{rule} is not needed")
