"""
The catalogue: a folder in the user's repository with what their events look like, so that a change
of a contract is a diff to review, and a check can hold it against what was published.

    catalogue/hotel.room.held/2.json    JSON Schema (2020-12) of one version of one event
    catalogue/readers.json              the events that each consumer reads

Versions below the newest are never written again: events that are stored have them.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.errors import PydanticUserError

from eventstore.contracts import Contract, Contracts
from eventstore.nodes import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
READERS = "readers.json"


class Damaged(ValueError):
    """A catalogue or a contract that cannot be understood; the sentence names file and reason."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`versions` are the schemas by event and version, `readers` the events by consumer."""

    versions: Mapping[str, Mapping[int, Schema]] = field(default_factory=dict)
    readers: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def consumers(self, event: str) -> set[str]:
        """Who reads it."""
        return {consumer for consumer, events in self.readers.items() if event in events}


def described(contracts: Contracts) -> Catalogue:
    """What the code says: the newest version of each event. Raises Damaged."""
    return Catalogue(
        {contract.name: {contract.version: schema(contract)} for contract in contracts},
        {consumer: frozenset(events) for consumer, events in contracts.readers.items()},
    )


def schema(contract: Contract) -> Schema:
    """In the order of the class. Raises Damaged where a field has no JSON Schema."""
    with _describable(contract):
        found: Schema = json.loads(json.dumps({"$schema": DIALECT, **contract.schema}))
    return found


def named_otherwise(contract: Contract) -> list[str]:
    """
    Fields that have one name when they are read and another, or none, when they are written.
    Raises Damaged.
    """
    aliases = bool(contract.model.model_config.get("serialize_by_alias"))
    with _describable(contract):
        written = contract.model.model_json_schema(mode="serialization", by_alias=aliases)
    return sorted(_names(schema(contract)) ^ _names(written))


def _names(whole: Schema) -> set[str]:
    models = {"": whole, **whole.get("$defs", {})}
    return {
        f"{model}.{name}".lstrip(".")
        for model, each in models.items()
        for name in each.get("properties", {})
    }


@contextmanager
def _describable(contract: Contract) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # A default that is no JSON is left out of it, for which the check has a sentence.
            warnings.simplefilter("ignore")
            yield
    except PydanticUserError as error:
        raise Damaged(
            f"{contract.name} {contract.version} has a field that JSON Schema cannot describe:"
            f" {str(error).splitlines()[0]}; give it another type."
        ) from None


def text(value: Mapping[str, Any]) -> str:
    """The same for equal values, one thing a line."""
    return json.dumps(_sorted(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _sorted(value: Any, keyword: str = "") -> Any:
    """`required` is a set; and where somebody moves a field, nothing changes."""
    if isinstance(value, Mapping):
        return {key: _sorted(each, str(key)) for key, each in value.items()}
    if keyword == "required" and isinstance(value, list):
        return sorted(value)
    return value


def load(folder: Path) -> Catalogue:
    """What is written there; an empty catalogue where there is nothing. Raises Damaged, OSError."""
    versions: dict[str, dict[int, Schema]] = {}
    readers: dict[str, frozenset[str]] = {}
    if not folder.exists():
        return Catalogue()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and "." in path.name.lstrip("."):
            found = {_version(file): _read(file) for file in sorted(path.glob("*.json"))}
            if found:
                versions[path.name] = found
        elif path.name == READERS:
            readers = _readers(path)
    return Catalogue(versions, readers)


def files(catalogue: Catalogue) -> dict[str, str]:
    """Its files' texts by their paths in the folder."""
    found = {
        f"{event}/{version}.json": text(schema)
        for event, versions in sorted(catalogue.versions.items())
        for version, schema in sorted(versions.items())
    }
    return found | {READERS: text({key: sorted(each) for key, each in catalogue.readers.items()})}


def export(code: Catalogue, folder: Path) -> list[str]:
    """
    Writes what differs and returns those paths. Whoever calls it has seen to it that each change is
    allowed (`eventstore.check`). Raises OSError.
    """
    written = []
    for path, said in files(code).items():
        file = folder / path
        if file.exists() and _canonical(file) == said:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        half.write_text(said, encoding="utf-8")
        half.replace(file)
        written.append(path)
    return written


def _canonical(file: Path) -> str:
    return text(_read(file))


def _version(file: Path) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", file.stem):
        raise Damaged(f"{file} is not named like a version, as 2.json is; move it away.")
    return int(file.stem)


def _read(file: Path) -> Schema:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Damaged(
            f"{file} is no JSON: {error}; take it from version control, or mend it."
        ) from None
    if not isinstance(found, dict):
        raise Damaged(f"{file} is no JSON object; take it from version control.")
    return found


def _readers(file: Path) -> dict[str, frozenset[str]]:
    found = _read(file)
    for consumer, events in found.items():
        if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
            raise Damaged(f"{file}: {consumer!r} is to have a list of events; export it again.")
    return {consumer: frozenset(events) for consumer, events in found.items()}
