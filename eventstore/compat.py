"""
What may change in an event without a new version: FULL compatibility, so that

* code with the old contract reads new events (forward: consumers are not updated at once), and
* code with the new contract reads the events stored under it before (backward: replay).

Both leave out fields that they do not know. Pure functions over JSON Schemas.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from eventstore.accepts import Refusal, refusals
from eventstore.nodes import Document, Node, Schema, fields, inside, required

FORWARD = "code with the old contract would refuse new events"
BACKWARD = "the new code could not read the events that are stored"
BOTH = f"{FORWARD}, and {BACKWARD}"


@dataclass(frozen=True, slots=True)
class Break:
    """`path` is like `price.amount`, `lines[].sku`, `payment(card).number`, or "" for the event."""

    path: str
    changed: str
    because: str


def breaks(old: Schema, new: Schema) -> list[Break]:
    """Why `new` may not take the place of `old` in the same version; empty: it may."""
    forward = {_told(each, old=0): each for each in refusals(reader=old, writer=new)}
    backward = {_told(each, old=1): each for each in refusals(reader=new, writer=old)}
    found = []
    for told in dict.fromkeys([*forward, *backward]):
        if (forward.get(told) or backward[told]).unknown:
            because = "what is not understood cannot be held to be harmless"
        elif told in forward and told in backward:
            because = BOTH
        else:
            because = FORWARD if told in forward else BACKWARD
        found.append(Break(*told, because))
    told_paths = {each.path for each in found}
    meant = (each for each in _meaning(old, new) if each.path not in told_paths)
    return [*found, *dict.fromkeys(meant)]


def _told(refusal: Refusal, *, old: int) -> tuple[str, str]:
    if refusal.unknown:
        keyword = refusal.unknown
        return refusal.path, f"has the keyword {keyword!r}, for which the check knows no rule"
    words = (refusal.reader, refusal.writer)
    return refusal.path, f"was {words[old]} and is {words[1 - old]}"


def _meaning(old: Schema, new: Schema) -> Iterator[Break]:
    """What would still be read, but not as it was meant."""
    walk = _Meaning(Document(old), Document(new))
    yield from walk.at("", walk.old.root(), walk.new.root())


@dataclass(frozen=True, slots=True)
class _Meaning:
    """Goes as far as both are of one shape; where they are not, something is refused anyway."""

    old: Document
    new: Document
    open: frozenset[tuple[str, str]] = frozenset()

    def at(self, path: str, old: Node, new: Node) -> Iterator[Break]:
        if old.ref and new.ref:
            pair = (old.ref, new.ref)
            if pair in self.open:
                return
            self = replace(self, open=self.open | {pair})
        if old.is_struct and new.is_struct:
            yield from self._fields(path, old, new)
        inner = dict(inside(self.new, new))
        for step, each in inside(self.old, old):
            if step and step in inner:
                yield from self.at(f"{path}{step}".lstrip("."), each, inner[step])
        yield from self._union(path, old, new)

    def _fields(self, path: str, old: Node, new: Node) -> Iterator[Break]:
        before, now = fields(old), fields(new)
        for name in [*before, *(each for each in now if each not in before)]:
            inner = f"{path}.{name}".lstrip(".")
            if name not in now:
                yield Break(inner, "was there and is absent", LOST)
            elif name in before:
                defaults = [self.old.default(before[name]), self.new.default(now[name])]
                if not _same(*defaults):
                    told = [repr(each[0]) if each else "none" for each in defaults]
                    changed = f"had the default {told[0]} and has {told[1]}"
                    yield Break(inner, changed, OTHER_DEFAULT)
            elif name not in required(new) and not self.new.default(now[name]):
                yield Break(inner, "is new and its default is made by code", MADE)

    def _union(self, path: str, old: Node, new: Node) -> Iterator[Break]:
        pairs = [(self.old, each) for each in _alternatives(self.old, old)]
        others = [(self.new, each) for each in _alternatives(self.new, new)]
        texts = [[_text(*each, ()) for each in some] for some in (pairs, others)]
        if len(pairs) == len(others):
            for (_, each), (_, other) in zip(pairs, others, strict=True):
                yield from self.at(path, each, other)
        if texts[0] == texts[1]:
            return
        if any(sum(node.is_struct for _, node in some) > 1 for some in (pairs, others)):
            yield Break(path, "is one of several models that nothing tells apart", AMBIGUOUS)
        elif sorted(texts[0]) == sorted(texts[1]):
            yield Break(path, "has its alternatives in another order", ORDER)


LOST = "what stored events say there would be forgotten, and the name could be given anew"
OTHER_DEFAULT = "events that lack it would from now on say something else"
MADE = "events that lack it could be read differently each time; write the default as a value"
AMBIGUOUS = "a changed one could be taken for another; leave them as they are, or add a tag"
ORDER = "the first that fits is taken, so stored events could be read as something else"


def _alternatives(document: Document, node: Node) -> list[Node]:
    """Without null, whose place means nothing."""
    found = [document.node(each) for each in node.keywords.get("anyOf", [])]
    return [each for each in found if each.kind != "null"]


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """As JSON: 1 and True and 1.0 are equal in Python."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _text(document: Document, node: Node, open_: tuple[str, ...]) -> str:
    if node.ref in open_:
        return f"<{open_.index(node.ref)}>" if node.ref else ""
    within = (*open_, node.ref) if node.ref else open_
    steps = [
        f"{step}:{_text(document, inner, within)}"
        for step, inner in sorted(inside(document, node), key=lambda each: each[0])
    ]
    words = {
        key: sorted(value) if key == "required" else value
        for key, value in node.keywords.items()
        if key not in _INNER
    }
    return f"{sorted(words.items(), key=str)}{node.beyond}{steps}"


_INNER = (
    "properties",
    "anyOf",
    "oneOf",
    "discriminator",
    "prefixItems",
    "items",
    "additionalProperties",
    "propertyNames",
)
