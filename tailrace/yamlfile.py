"""
A YAML file as a flat list of keys, texts and line numbers.

Every scalar stays the text that was written: `no`, `1e3` and `08:30` mean what the schema says,
not what YAML 1.1 guesses. Duplicate keys, aliases and tags are refused, so nothing is hidden.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from tailrace.exits import USAGE, Problem

_NULLS = ("", "~", "null", "Null", "NULL")
_QUOTED = re.compile(r"""(["'])(?:(?!\1).){2,}\1""", re.S)


class Entry(NamedTuple):
    """One leaf; `value` is a text, a list of texts, or None for null and for an empty mapping."""

    key: tuple[str, ...]
    value: object
    line: int


def entries(path: Path) -> list[Entry]:
    """All leaves of the file. Raises Problem (TR-CFG-001 unreadable, TR-CFG-002 not our YAML)."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        _refuse(path, None, "it is not UTF-8 text")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Problem(
            "TR-CFG-001",
            f"{path} cannot be read: {why}. Write one with `tailrace config init`,"
            " or name another with --config.",
            exit_code=USAGE,
        ) from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        # The library quotes what it met, which may be a piece of a password.
        _refuse(path, error.problem_mark, _QUOTED.sub("a word", error.problem or "it is not YAML"))
    except yaml.YAMLError:
        _refuse(path, None, "it holds a character that YAML does not allow")
    except RecursionError:
        _refuse(path, None, "it is nested too deeply")
    if root is not None and not isinstance(root, yaml.MappingNode):
        _refuse(path, root.start_mark, "it must be a mapping of keys to values")
    return list(_leaves(path, (), root)) if root is not None else []


class _Loader(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:
            why = "a value that starts with * or & needs quotes, for there are no anchors here"
            raise yaml.composer.ComposerError(None, None, why, event.start_mark)
        return super().compose_node(parent, index)


def _leaves(path: Path, at: tuple[str, ...], node: yaml.Node) -> Iterator[Entry]:
    if not node.tag.startswith("tag:yaml.org,2002:"):
        _refuse(path, node.start_mark, "a value that starts with ! needs quotes, for it is no tag")
    if not isinstance(node, yaml.MappingNode):
        yield Entry(at, _value(path, node), node.start_mark.line + 1)
        return
    if at and not node.value:
        yield Entry(at, None, node.start_mark.line + 1)
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(path, key.start_mark, "a key must be a plain word")
        if key.value in seen:
            _refuse(path, key.start_mark, f"the key {'.'.join((*at, key.value))} is there twice")
        seen.add(key.value)
        yield from _leaves(path, (*at, key.value), value)


def _value(path: Path, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            if not isinstance(item, yaml.ScalarNode):
                _refuse(path, item.start_mark, "a list holds plain values only")
        return [item.value for item in node.value]
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return None if plain and node.value in _NULLS else node.value


def _refuse(path: Path, mark: yaml.Mark | None, why: str) -> NoReturn:
    where = f"{path} line {mark.line + 1}" if mark else str(path)
    raise Problem(
        "TR-CFG-002", f"{where} is not a pipeline file: {why}.", exit_code=USAGE
    ) from None
