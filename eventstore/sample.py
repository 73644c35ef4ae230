"""An example of an event, made from its JSON Schema; the same each time."""

from collections.abc import Mapping
from typing import Any

from eventstore.nodes import Document, Node, Schema, fields, keys, required

_BY_FORMAT: Mapping[str, str] = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uuid1": "00000000-0000-1000-8000-000000000000",
    "uuid3": "00000000-0000-3000-8000-000000000000",
    "uuid4": "00000000-0000-4000-8000-000000000000",
    "uuid5": "00000000-0000-5000-8000-000000000000",
    "uri": "https://example.org/",
    "email": "someone@example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "binary": "text",
}


class NoSample(ValueError):
    """None can be made: a pattern, say, and no `examples`; the sentence names the field."""


def sample(schema: Schema, *, optional: bool = True) -> dict[str, Any]:
    """With or without the fields that may be left out. Raises NoSample."""
    document = Document(schema)
    if optional and isinstance(schema.get("examples"), list) and schema["examples"]:
        first: dict[str, Any] = schema["examples"][0]
        return first
    made: dict[str, Any] = _Maker(document, optional).node("", document.root(), ())
    return made


class _Maker:
    def __init__(self, document: Document, optional: bool) -> None:
        self._document = document
        self._optional = optional

    def schema(self, path: str, schema: Any, open_: tuple[str, ...]) -> Any:
        if isinstance(schema, Mapping) and schema.get("examples"):
            return schema["examples"][0]
        return self.node(path, self._document.node(schema), open_)

    def node(self, path: str, node: Node, open_: tuple[str, ...]) -> Any:
        if node.ref:
            if node.ref in open_:
                raise NoSample(f"{path} holds itself")
            open_ = (*open_, node.ref)
        if "anyOf" in node.keywords or "oneOf" in node.keywords:
            words = node.keywords
            return self._first(path, words.get("anyOf") or words["oneOf"], open_)
        if node.kind == "object":
            return self._object(path, node, open_)
        if node.kind == "array":
            return self._array(path, node, open_)
        return _scalar(path, node)

    def _first(self, path: str, alternatives: list[Any], open_: tuple[str, ...]) -> Any:
        for each in alternatives:
            try:
                return self.schema(path, each, open_)
            except NoSample as error:
                problem = error
        raise problem

    def _object(self, path: str, node: Node, open_: tuple[str, ...]) -> dict[str, Any]:
        if not node.is_struct:
            return self._dict(path, node, open_)
        made = {}
        for name, schema in fields(node).items():
            needed = name in required(node)
            if not needed and not self._optional:
                continue
            try:
                made[name] = self.schema(f"{path}.{name}".lstrip("."), schema, open_)
            except NoSample:
                if needed:
                    raise
        return made

    def _dict(self, path: str, node: Node, open_: tuple[str, ...]) -> dict[str, Any]:
        names = keys(node.keywords.get("propertyNames", {}))
        key = self.schema(f"{path}{{key}}", names, open_)
        if any("keys" in each and each["keys"] in ("int", "float") for each in node.beyond):
            key = "1"
        value = node.keywords.get("additionalProperties", True)
        return {str(key): self.schema(f"{path}{{}}", value, open_)}

    def _array(self, path: str, node: Node, open_: tuple[str, ...]) -> list[Any]:
        head = node.keywords.get("prefixItems", [])
        made = [self.schema(f"{path}[{i}]", each, open_) for i, each in enumerate(head)]
        least = node.keywords.get("minItems", 0)
        wanted = min(max(least, 1), node.keywords.get("maxItems", max(least, 1)))
        while len(made) < wanted:
            made.append(self.schema(f"{path}[]", node.keywords.get("items", True), open_))
        if node.keywords.get("uniqueItems") and len(made) > 1:
            raise NoSample(f"{path} wants several different items")
        return made


def _scalar(path: str, node: Node) -> Any:
    if node.values:
        return node.values[0]
    if node.kind == "string":
        return _string(path, node)
    if node.kind in ("integer", "number"):
        return _number(node)
    if node.is_any or node.kind in ("boolean", "null"):
        return {"boolean": True, "null": None}.get(node.kind, "anything")
    raise NoSample(f"{path or 'the event'} is of a kind that is not understood")


def _string(path: str, node: Node) -> str:
    words = node.keywords
    made = _BY_FORMAT.get(words["format"]) if "format" in words else "text"
    if made is None or "pattern" in words:
        raise NoSample(f"{path} has a format or pattern of its own; give the field `examples`")
    if "format" in words:
        return made
    return made.ljust(words.get("minLength", 0), "x")[: words.get("maxLength", None)]


def _number(node: Node) -> int | float:
    words = node.keywords
    step = words.get("multipleOf", 1)
    least = words.get("minimum", words.get("exclusiveMinimum"))
    most = words.get("maximum", words.get("exclusiveMaximum"))
    made = step if least is None else -(-least // step) * step
    if made == words.get("exclusiveMinimum"):
        made += step
    if most is not None and (made > most or made == words.get("exclusiveMaximum")):
        made = most // step * step
        if made == words.get("exclusiveMaximum"):
            made -= step
    if least is not None and (made < least or made == words.get("exclusiveMinimum")):
        made = (least + most) / 2  # between two numbers that are close
    return int(made) if node.kind == "integer" else made
