"""What there is to say about a service's events, for whoever writes a page of it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from connectors.spec import events_topic
from eventstore import catalogue
from eventstore.catalogue import Catalogue
from eventstore.contracts import Contract, Contracts, Invalid
from eventstore.nodes import Document, Node, Schema, fields, inside, required
from eventstore.sample import NoSample, sample


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `example` is None where none can be made; `older` are other versions' schemas."""

    name: str
    version: int
    schema: Schema
    readers: tuple[str, ...]
    example: dict[str, Any] | None
    older: tuple[tuple[int, Schema], ...]

    @property
    def says(self) -> str:
        """The docstring of its class."""
        return str(self.schema.get("description", ""))


@dataclass(frozen=True, slots=True)
class Overview:
    """All events of the service that `source` names, which it writes to `topic`."""

    source: str
    topic: str
    events: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """`path` as in a check's sentences; `default` as a tuple of one, or of none."""

    path: str
    type: str
    needed: bool
    default: tuple[Any, ...]
    limits: tuple[str, ...]
    says: str


def overview(contracts: Contracts, committed: Catalogue, topic: str | None = None) -> Overview:
    """Older versions come from the catalogue. Raises `catalogue.Damaged`."""
    said = catalogue.described(contracts)
    entries = []
    for contract in contracts:
        older = committed.versions.get(contract.name, {})
        schema = said.versions[contract.name][contract.version]
        entries.append(
            Entry(
                contract.name,
                contract.version,
                schema,
                tuple(sorted(said.consumers(contract.name))),
                _example(contracts, contract, schema),
                tuple(sorted((v, s) for v, s in older.items() if v < contract.version)),
            )
        )
    return Overview(contracts.source, topic or topic_of(contracts.source), tuple(entries))


def prefix_of(source: str) -> str:
    """How the topics of `/hotel` or `https://example.org/hotel` begin: `hotel`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source.rstrip("/").rpartition("/")[2])


def topic_of(source: str) -> str:
    """`/hotel` and `https://example.org/hotel` publish to `hotel.events`."""
    return events_topic(prefix_of(source))


def rows(schema: Schema) -> list[Field]:
    """Its fields, those inside after the one that holds them; a model inside itself once."""
    document = Document(schema)
    return list(_rows(document, "", document.root(), schema, ()))


def _example(contracts: Contracts, contract: Contract, schema: Schema) -> dict[str, Any] | None:
    """As it would be published."""
    try:
        event = contracts.decode(contract.name, contract.version, sample(schema))
        made: dict[str, Any] = json.loads(contracts.encode(event))
    except (NoSample, Invalid):
        return None
    return made


def _rows(
    document: Document, path: str, node: Node, schema: Any, open_: tuple[str, ...]
) -> list[Field]:
    if node.ref in open_:
        return []
    within = (*open_, node.ref) if node.ref else open_
    found: list[Field] = []
    if node.is_struct:
        for name, inner in fields(node).items():
            here = f"{path}.{name}".lstrip(".")
            each = document.node(inner)
            found.append(
                Field(
                    here,
                    typed(document, each),
                    name in required(node),
                    document.default(inner),
                    limits(document, each),
                    inner.get("description", "") if isinstance(inner, dict) else "",
                )
            )
            found += _rows(document, here, each, inner, within)
        return found
    for step, inner_node in inside(document, node):
        found += _rows(document, f"{path}{step}", inner_node, {}, within)
    return found


def typed(document: Document, node: Node) -> str:
    """Its type in a few words."""
    words = node.keywords
    if node.values is not None:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in node.values)
    if "oneOf" in words:
        tags = " or ".join(document.tagged(node))
        return f"{tags}, told apart by {words.get('discriminator', {}).get('propertyName')}"
    if node.is_struct:
        return (node.ref or "object").rpartition("/")[2]
    whole = _whole(words)
    return whole.format(*(_typed(document, each) for each in _parts(words)))


def _typed(document: Document, schema: Any) -> str:
    """One that is named is not gone into again: it may hold itself."""
    node = document.node(schema)
    if node.ref and not node.is_struct and node.values is None:
        return node.ref.rpartition("/")[2]
    return typed(document, node)


def _whole(words: Schema) -> str:
    places = len(_parts(words))
    if "anyOf" in words:
        return " or ".join(["{}"] * places)
    if "prefixItems" in words:
        return f"[{', '.join(['{}'] * places)}]"
    if words.get("type") in ("array", "object"):
        return "list of {}" if words["type"] == "array" else "dict of {}"
    return str(words.get("format") or words.get("type") or "anything")


def _parts(words: Schema) -> list[Any]:
    if "anyOf" in words or "prefixItems" in words:
        found: list[Any] = words.get("anyOf") or words["prefixItems"]
        return found
    if words.get("type") == "array":
        return [words.get("items", True)]
    return [words.get("additionalProperties", True)] if words.get("type") == "object" else []


_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "like {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "without repeats",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
}


def limits(document: Document, node: Node) -> tuple[str, ...]:
    """What it has to keep to, besides its type."""
    words = node.keywords
    told = [said.format(words[key]) for key, said in _LIMITS.items() if key in words]
    for each in words.get("anyOf", ()):
        told += limits(document, document.node(each))
    for key, value in (pair for each in node.beyond for pair in each.items()):
        shown = ", ".join(value) if isinstance(value, list) else value
        told.append(f"{key.replace('_', ' ')}: {shown}")
    return tuple(dict.fromkeys(told))
