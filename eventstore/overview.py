"""What there is to say about a service's events, for whoever writes a page of it."""

import re
from dataclasses import dataclass
from typing import Any

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


def topic_of(source: str) -> str:
    """`/hotel` and `https://example.org/hotel` publish to `hotel.events`."""
    last = source.rstrip("/").rpartition("/")[2]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', last)}.events"


def rows(schema: Schema) -> list[Field]:
    """Its fields, those inside after the one that holds them; a model inside itself once."""
    document = Document(schema)
    return list(_rows(document, "", document.root(), schema, ()))


def _example(contracts: Contracts, contract: Contract, schema: Schema) -> dict[str, Any] | None:
    try:
        made = sample(schema)
        contracts.decode(contract.name, contract.version, made)
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
        return " or ".join(
            f"{value!r}" if isinstance(value, str) else str(value).lower() for value in node.values
        )
    by_tag = document.tagged(node)
    if by_tag:
        return f"{' or '.join(by_tag)}, told apart by {words['discriminator']['propertyName']}"
    if "anyOf" in words:
        return " or ".join(dict.fromkeys(typed(document, document.node(e)) for e in words["anyOf"]))
    if node.kind == "array":
        if "prefixItems" in words:
            inner = ", ".join(typed(document, document.node(each)) for each in words["prefixItems"])
            return f"[{inner}]"
        return f"list of {typed(document, document.node(words.get('items', True)))}"
    if node.kind == "object" and not node.is_struct:
        return f"dict of {typed(document, document.node(words.get('additionalProperties', True)))}"
    if node.is_struct:
        return (node.ref or "object").rpartition("/")[2]
    return str(words.get("format") or words.get("type") or "anything")


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
    told = [
        words.format(node.keywords[key])
        for key, words in _LIMITS.items()
        if node.keywords.get(key) is not None
    ]
    for each in document.alternatives(node) if "anyOf" in node.keywords else ():
        told += limits(document, each)
    for key, value in ((k, v) for each in node.beyond for k, v in each.items()):
        told.append(
            f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
        )
    return tuple(dict.fromkeys(told))
