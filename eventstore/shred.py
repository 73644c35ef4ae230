"""
Erasure in a store that forgets nothing: personal fields are encrypted with a key for each subject,
and who deletes the key has erased them wherever they are: in the store, in Kafka, in backups.

    class Opened(Event):
        customer: str
        owner: Annotated[str, Personal("customer")]

Such a field is stored as {"$personal": {"key": …, "box": …}}; without its key it reads "[erased]".
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import msgspec
from pydantic import TypeAdapter, ValidationError

from eventstore.contracts import Event, Invalid
from eventstore.recorded import Connection, Stored
from sinks.target import load_statements

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

STATEMENTS = load_statements(Path(__file__).with_name("shred.sql"))
ERASED = "[erased]"
MARK = "$personal"
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random, so at most 2**32 values a key

Keys = Mapping[str, bytes]
"""By id."""


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field of text as somebody's; `subject` is the event's field that says whose."""

    subject: str


class Forgotten(msgspec.Struct, frozen=True):
    """
    What an erasure did. `keys` is 0 if the subject had none (any more), or was never there;
    `streams` hold something of it, and have no snapshots now.
    """

    subject: str
    keys: int
    streams: list[str]
    snapshots: int


@cache
def personal_fields(model: type[Event]) -> Mapping[str, str]:
    """The subject's field for each personal one. Raises Invalid for a field that cannot be one."""
    found = {
        name: mark.subject
        for name, of in model.model_fields.items()
        for mark in of.metadata
        if isinstance(mark, Personal)
    }
    for name, subject in found.items():
        if subject not in model.model_fields or subject in found:
            raise Invalid(f"{model.__name__}.{name}: its subject {subject!r} must be a plain field")
        of = model.model_fields[name]
        try:
            whole: Any = Annotated[of.annotation, *of.metadata]
            TypeAdapter(whole).validate_python(ERASED)
        except ValidationError:
            raise Invalid(f"{model.__name__}.{name} must be text that can be {ERASED}") from None
    return found


def closed(tx: Connection, stream: str, events: Sequence[Event], data: list[str]) -> list[str]:
    """The events' JSON with their personal fields encrypted; keys are made where there are none."""
    for event, text in zip(events, data, strict=True):
        if MARK in text and key_ids(json.loads(text)):
            raise Invalid(
                f"{type(event).__name__}: a plain field looks like one that was encrypted"
            )
    marked = [personal_fields(type(event)) for event in events]
    if not any(marked):
        return data
    owners = {
        str(getattr(event, subject))
        for event, fields in zip(events, marked, strict=True)
        for subject in fields.values()
    }
    keys = _keys_of(tx, stream, sorted(owners))
    return [
        _closed(event, fields, text, keys) if fields else text
        for event, fields, text in zip(events, marked, data, strict=True)
    ]


def _closed(
    event: Event, fields: Mapping[str, str], text: str, keys: Mapping[str, tuple[UUID, bytes]]
) -> str:
    said = json.loads(text)
    for name, subject in fields.items():
        if said.get(name) is not None:
            id_, key = keys[str(getattr(event, subject))]
            nonce = secrets.token_bytes(NONCE_BYTES)
            box = nonce + _cipher(key).encrypt(nonce, said[name].encode(), id_.bytes)
            said[name] = {MARK: {"key": str(id_), "box": base64.b64encode(box).decode()}}
    return json.dumps(said, ensure_ascii=False)


def _keys_of(tx: Connection, stream: str, subjects: list[str]) -> Mapping[str, tuple[UUID, bytes]]:
    keys: dict[str, tuple[UUID, bytes]] = {}
    while len(keys) < len(subjects):  # again if one is forgotten between the two statements
        new = {
            "subjects": subjects,
            "ids": [uuid4() for _ in subjects],
            "keys": [secrets.token_bytes(KEY_BYTES) for _ in subjects],
            "stream": stream,
        }
        tx.execute(STATEMENTS["make_keys"], new)
        rows = tx.execute(STATEMENTS["keys_of"], [subjects])
        keys = {subject: (id_, key) for subject, id_, key in rows}
    return keys


def opened(tx: Connection, rows: Sequence[Stored]) -> Sequence[Stored]:
    """The rows with their personal fields readable, or erased."""
    closed_data = {n: json.loads(row.data) for n, row in enumerate(rows) if MARK in row.data}
    if not closed_data:
        return rows
    ids = {id_ for data in closed_data.values() for id_ in key_ids(data)}
    keys = {str(id_): key for id_, key in tx.execute(STATEMENTS["keys"], [list(ids)])}
    return [
        row._replace(data=json.dumps(readable(closed_data[n], keys))) if n in closed_data else row
        for n, row in enumerate(rows)
    ]


def key_ids(data: Mapping[str, Any]) -> list[str]:
    """The keys that an event's personal fields need."""
    return [value[MARK]["key"] for value in data.values() if _is_closed(value)]


def readable(data: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """
    An event's data as stored, with plain values where `keys` has the key, else ERASED. Also for who
    has it from Kafka; without any keys all that is personal is erased. Raises Invalid where a
    value was tampered with.
    """
    return {
        name: _opened(name, value[MARK], keys) if _is_closed(value) else value
        for name, value in data.items()
    }


def _is_closed(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {MARK}:
        return False
    said = value[MARK]
    return (
        isinstance(said, dict)
        and said.keys() == {"key", "box"}
        and all(isinstance(each, str) for each in said.values())
    )


def _opened(name: str, said: Mapping[str, str], keys: Keys) -> str:
    from cryptography.exceptions import InvalidTag

    key = keys.get(said["key"])
    if key is None:
        return ERASED
    try:
        box = base64.b64decode(said["box"])
        bound = UUID(said["key"]).bytes
        return _cipher(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], bound).decode()
    except (InvalidTag, ValueError):
        raise Invalid(f"the personal field {name} is not what was encrypted") from None


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise Invalid("personal fields need the extra `shred`: install tailrace[shred]") from None
    return AESGCM(key)


def forget(tx: Connection, subject: str) -> Forgotten:
    """
    Deletes the subject's key, and the snapshots of all streams with something of it; the caller
    commits. A writer at work may save a snapshot of what it has just read: say it again later.
    """
    keys = tx.execute(STATEMENTS["forget"], [subject]).rowcount
    streams = [row[0] for row in tx.execute(STATEMENTS["streams_of"], [subject])]
    snapshots = tx.execute(STATEMENTS["drop_snapshots"], [streams]).rowcount
    return Forgotten(subject, keys, streams, snapshots)
