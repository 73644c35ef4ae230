"""
One node of a JSON Schema as pydantic writes it: its keywords, whether they are all understood, and
what it allows in words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventstore.described import BEYOND

Schema = Mapping[str, Any]

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id")
)
_ANY_TYPE = frozenset(("type", "enum", "const", BEYOND))
_NUMBER = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format")
)
UNDERSTOOD: Mapping[str, frozenset[str]] = {
    "string": frozenset(("minLength", "maxLength", "pattern", "format")),
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems", "uniqueItems")),
    "object": frozenset(
        (
            "properties",
            "required",
            "additionalProperties",
            "propertyNames",
            "minProperties",
            "maxProperties",
        )
    ),
}


@dataclass(frozen=True, slots=True)
class Node:
    """`keywords` without annotations; `beyond` is what pydantic checks besides; `ref` its name."""

    keywords: Schema
    beyond: tuple[Any, ...]
    ref: str | None = None

    @property
    def is_any(self) -> bool:
        """Everything is valid."""
        return not self.keywords and not self.beyond

    @property
    def kind(self) -> str:
        """Its JSON type, or "" where there is none."""
        return str(self.keywords.get("type", ""))

    @property
    def is_struct(self) -> bool:
        """An object with named fields."""
        return "properties" in self.keywords

    @property
    def values(self) -> list[Any] | None:
        """The only values there are, or None."""
        if "const" in self.keywords:
            return [self.keywords["const"]]
        found: list[Any] | None = self.keywords.get("enum")
        return found


class Document:
    """A whole schema, in which references are followed."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._defs: Schema = schema.get("$defs", {})

    def root(self) -> Node:
        """Its outermost node."""
        return self.node({key: value for key, value in self.schema.items() if key != "$defs"})

    def node(self, schema: Schema | bool) -> Node:
        """What is written there, or what that refers to."""
        said = {} if schema is True else {"not": {}} if schema is False else dict(schema)
        beyond: list[Any] = []
        followed: list[str] = []
        while True:
            if BEYOND in said:
                beyond.insert(0, said.pop(BEYOND))
            words = {key: value for key, value in said.items() if not _is_annotation(key)}
            ref = str(words.get("$ref", ""))
            target = self._defs.get(ref.removeprefix("#/$defs/"))
            if set(words) != {"$ref"} or target is None or ref in followed:
                return Node(words, tuple(beyond), followed[-1] if followed else None)
            followed.append(ref)
            said = dict(target)

    def alternatives(self, node: Node) -> list[Node]:
        """Those of an undiscriminated union, flat; else the node alone."""
        if set(node.keywords) != {"anyOf"} or node.beyond:
            return [node]
        inner = (self.node(each) for each in node.keywords["anyOf"])
        return [flat for each in inner for flat in self.alternatives(each)]

    def tagged(self, node: Node) -> dict[str, Node]:
        """The alternatives of a union with a discriminator by its value; of any other none."""
        by_tag = node.keywords.get("discriminator", {}).get("mapping", {})
        return {tag: self.node({"$ref": ref}) for tag, ref in by_tag.items()}

    def default(self, schema: Schema | bool) -> tuple[Any, ...]:
        """The default of a field as a tuple of one, or of none."""
        return (schema["default"],) if isinstance(schema, Mapping) and "default" in schema else ()


def fields(node: Node) -> Mapping[str, Any]:
    """The schemas of a struct's fields, by name."""
    found: Mapping[str, Any] = node.keywords["properties"]
    return found


def required(node: Node) -> frozenset[str]:
    """The fields of a struct that have to be there."""
    return frozenset(node.keywords.get("required", ()))


def not_understood(node: Node) -> list[str]:
    """The keywords for which no rule is known, here and not further inside."""
    words = set(node.keywords)
    if node.is_any or words == {"anyOf"}:
        return []
    if words == {"oneOf", "discriminator"}:
        whole = {"propertyName", "mapping"} == set(node.keywords["discriminator"])
        return [] if whole else ["discriminator"]
    kind = node.keywords.get("type")
    if not isinstance(kind, str):
        # Literals of several types have none; nothing else may go without.
        return sorted(words - {"enum", "const"}) if node.values is not None else sorted(words)
    known = UNDERSTOOD.get(kind)
    if known is None:
        return ["type"]
    unknown = words - known - _ANY_TYPE
    if node.is_struct and node.keywords.get("additionalProperties", False) is not False:
        unknown.add("additionalProperties")
    return sorted(unknown)


def unclear(schema: Schema) -> list[tuple[str, str]]:
    """Paths and keywords for which no rule is known, in the whole of it."""
    document = Document(schema)
    return list(dict.fromkeys(_unclear(document, "", document.root(), frozenset())))


def _unclear(
    document: Document, path: str, node: Node, open_: frozenset[str | None]
) -> Iterator[tuple[str, str]]:
    if node.ref is None or node.ref not in open_:
        yield from ((path, keyword) for keyword in not_understood(node))
        for step, inner in inside(document, node):
            yield from _unclear(document, f"{path}{step}".lstrip("."), inner, open_ | {node.ref})


def inside(document: Document, node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes one step further in, each with what that adds to the path."""
    words = node.keywords
    for name, schema in words.get("properties", {}).items():
        yield f".{name}", document.node(schema)
    for tag, inner in document.tagged(node).items():
        yield f"({tag})", inner
    for schema in words.get("anyOf", []):
        yield "", document.node(schema)
    for i, schema in enumerate(words.get("prefixItems", [])):
        yield f"[{i}]", document.node(schema)
    if "items" in words:
        yield "[]", document.node(words["items"])
    if "additionalProperties" in words and not node.is_struct:
        yield "{}", document.node(words["additionalProperties"])
    if "propertyNames" in words:
        yield "{key}", document.node(keys(words["propertyNames"]))


def keys(schema: Any) -> Any:
    """The schema of a dict's keys; pydantic leaves out that they are strings."""
    return schema if schema is True or "$ref" in schema else {"type": "string", **schema}


def says(node: Node) -> str:
    """What it allows, in a few words."""
    if node.is_any:
        return "anything"
    if node.values is not None:
        return f"one of {', '.join(map(repr, node.values))}"
    if "anyOf" in node.keywords:
        return " or ".join(_short(each) for each in node.keywords["anyOf"])
    if "oneOf" in node.keywords:
        tags = node.keywords.get("discriminator", {}).get("mapping", {})
        return f"one of the kinds {', '.join(tags)}"
    return _short(node.keywords)


def _short(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema or "enum" in schema:
        return says(Node(schema, ()))
    told = schema.get("format") or schema.get("type") or "anything"
    return "a dict" if told == "object" and "properties" not in schema else str(told)


def _is_annotation(keyword: str) -> bool:
    return keyword in ANNOTATIONS or (keyword.startswith("x-") and keyword != BEYOND)
