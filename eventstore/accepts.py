"""
Whether whoever reads by one JSON Schema accepts everything that is valid under another.

Pure, and on the safe side: what is not known to be accepted is refused, also a keyword for which no
rule is known. Fields that the reader does not know are left out, as `Contracts.decode` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from eventstore.nodes import Document, Node, Schema, fields, keys, not_understood, required, says

Bound = tuple[float, bool]


class Refusal(NamedTuple):
    """
    At `path` the reader allows less than the writer may write, both in words. `unknown` is a
    keyword that nobody here understands; then the words say nothing.
    """

    path: str
    reader: str
    writer: str
    unknown: str = ""


def refusals(reader: Schema, writer: Schema) -> list[Refusal]:
    """Why a value that is valid under `writer` could be refused under `reader`; empty: never."""
    walk = _Walk(Document(reader), Document(writer))
    return list(dict.fromkeys(walk.at("", walk.reader.root(), walk.writer.root())))


@dataclass(frozen=True, slots=True)
class _Walk:
    """`open` are pairs further out that are compared right now: a model may hold itself."""

    reader: Document
    writer: Document
    open: frozenset[tuple[str, str]] = frozenset()

    def at(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        if reader.ref and writer.ref:
            pair = (reader.ref, writer.ref)
            if pair in self.open:
                return
            self = replace(self, open=self.open | {pair})
        unknown = [*not_understood(reader), *not_understood(writer)]
        if unknown:
            yield from (Refusal(path, "", "", keyword) for keyword in dict.fromkeys(unknown))
            return
        if reader.beyond and reader.beyond != writer.beyond:
            yield Refusal(path, _beyond(reader), _beyond(writer))
        yield from self._plain(path, replace(reader, beyond=()), replace(writer, beyond=()))

    def _plain(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        if reader.is_any:
            return
        readers, writers = self.reader.alternatives(reader), self.writer.alternatives(writer)
        if len(readers) > 1 or len(writers) > 1:
            yield from self._union(path, readers, writers)
        elif "oneOf" in reader.keywords and "oneOf" in writer.keywords:
            yield from self._tagged(path, reader, writer)
        elif not _same_shape(reader, writer):
            yield Refusal(path, says(reader), says(writer))
        elif reader.values is None and writer.values is None:
            yield from _limits(path, reader, writer)
            yield from self._inside(path, reader, writer)

    def _inside(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        if reader.is_struct:
            yield from self._struct(path, reader, writer)
        elif reader.kind == "object":
            yield from self._dict(path, reader, writer)
        elif reader.kind == "array":
            yield from self._array(path, reader, writer)

    def _tagged(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        readers, writers = self.reader.tagged(reader), self.writer.tagged(writer)
        tags = [node.keywords["discriminator"]["propertyName"] for node in (reader, writer)]
        if tags[0] != tags[1]:
            yield Refusal(path, f"told apart by {tags[0]}", f"told apart by {tags[1]}")
            return
        if set(writers) - set(readers):
            yield Refusal(path, says(reader), says(writer))
        for tag in writers:
            if tag in readers:
                yield from self.at(f"{path}({tag})", readers[tag], writers[tag])

    def _union(self, path: str, readers: list[Node], writers: list[Node]) -> Iterator[Refusal]:
        for writer in writers:
            tries = [list(self.at(path, reader, writer)) for reader in readers]
            if all(tries):
                # Told closely where it is clear which of them was meant.
                like = [i for i, each in enumerate(readers) if _alike(each, writer)]
                if len(like) == 1:
                    yield from tries[like[0]]
                else:
                    allowed = " or ".join(says(each) for each in readers)
                    yield Refusal(path, allowed, " or ".join(says(each) for each in writers))

    def _struct(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        written = fields(writer)
        for name, schema in fields(reader).items():
            inner = f"{path}.{name}".lstrip(".")
            if name in required(reader) - required(writer):
                yield Refusal(inner, "required", "optional" if name in written else "absent")
            if name in written:
                yield from self.at(inner, self.reader.node(schema), self.writer.node(written[name]))

    def _dict(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        names = [keys(node.keywords.get("propertyNames", True)) for node in (reader, writer)]
        values = [node.keywords.get("additionalProperties", True) for node in (reader, writer)]
        for step, pair in (("{key}", names), ("{}", values)):
            nodes = self.reader.node(pair[0]), self.writer.node(pair[1])
            yield from self.at(f"{path}{step}", *nodes)

    def _array(self, path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
        heads = [node.keywords.get("prefixItems", []) for node in (reader, writer)]
        rests = [node.keywords.get("items", True) for node in (reader, writer)]
        longest = max(map(len, heads))
        for i in range(longest):
            pair = [
                head[i] if i < len(head) else rest for head, rest in zip(heads, rests, strict=True)
            ]
            nodes = self.reader.node(pair[0]), self.writer.node(pair[1])
            yield from self.at(f"{path}[{i}]", *nodes)
        if longest < writer.keywords.get("maxItems", longest + 1):
            nodes = self.reader.node(rests[0]), self.writer.node(rests[1])
            yield from self.at(f"{path}[]", *nodes)


def _beyond(node: Node) -> str:
    told = [f"{key} {value}" for each in node.beyond for key, value in each.items()]
    return f"checked by Python for {', '.join(told)}" if told else "not checked further by Python"


def _alike(reader: Node, writer: Node) -> bool:
    return reader.kind == writer.kind and reader.keywords.get("format") == writer.keywords.get(
        "format"
    )


def _same_shape(reader: Node, writer: Node) -> bool:
    if reader.values is not None or writer.values is not None:
        return _values_fit(reader, writer)
    if "oneOf" in reader.keywords or "oneOf" in writer.keywords:
        return False
    return reader.kind == writer.kind and reader.is_struct == writer.is_struct


def _values_fit(reader: Node, writer: Node) -> bool:
    written = writer.values
    if written is None:
        return False
    if reader.values is not None:
        allowed = [(type(each), each) for each in reader.values]
        return all((type(each), each) in allowed for each in written)
    # A type alone takes all of its values; whether they are within limits is not looked into.
    return bool(writer.kind) and set(reader.keywords) == {"type"} and reader.kind == writer.kind


def _limits(path: str, reader: Node, writer: Node) -> Iterator[Refusal]:
    for keyword in ("format", "pattern", "multipleOf", "uniqueItems"):
        wanted, said = reader.keywords.get(keyword), writer.keywords.get(keyword)
        if wanted and wanted != said:
            yield Refusal(path, _told(keyword, wanted), _told(keyword, said))
    for name, sign in (("min", 1), ("max", -1)):
        for noun in ("Items", "Length", "Properties"):
            yield from _bound(
                path,
                f"{'at least' if sign > 0 else 'at most'} {{}} {_NOUNS[noun]}",
                sign,
                _size(reader, f"{name}{noun}"),
                _size(writer, f"{name}{noun}"),
            )
        words = "at least {}" if sign > 0 else "at most {}"
        yield from _bound(path, words, sign, _number(reader, name), _number(writer, name))


_NOUNS = {"Items": "items", "Length": "characters", "Properties": "keys"}


def _bound(
    path: str, words: str, sign: int, reader: Bound | None, writer: Bound | None
) -> Iterator[Refusal]:
    if reader is None:
        return
    if writer is not None:
        inside = sign * (writer[0] - reader[0])
        if inside > 0 or (inside == 0 and (writer[1] or not reader[1])):
            return
    yield Refusal(path, _limit(words, reader), _limit(words, writer))


def _limit(words: str, bound: Bound | None) -> str:
    if bound is None:
        return "unlimited"
    return words.format(f"{bound[0]:g}") + (", that itself excluded" if bound[1] else "")


def _size(node: Node, keyword: str) -> Bound | None:
    found = node.keywords.get(keyword)
    return None if not found and keyword.startswith("min") else _inclusive(found)


def _inclusive(found: float | None) -> Bound | None:
    return None if found is None else (found, False)


def _number(node: Node, name: str) -> Bound | None:
    """For integers, more than 0 and at least 1 are the same."""
    within = node.keywords.get(f"{name}imum")
    beyond = node.keywords.get(f"exclusive{name.title()}imum")
    step = 1 if name == "min" else -1
    if beyond is not None and node.kind == "integer" and float(beyond).is_integer():
        whole = beyond + step
        beyond, within = None, whole if within is None else sorted((within, whole))[step > 0]
    if beyond is not None and (within is None or beyond * step >= within * step):
        return beyond, True
    return _inclusive(within)


def _told(keyword: str, value: Any) -> str:
    if keyword == "uniqueItems":
        return "without repeats" if value else "with repeats"
    label = {"format": "format", "pattern": "pattern", "multipleOf": "divisor"}[keyword]
    return f"without a {label}" if value is None else f"of {label} {value}"
