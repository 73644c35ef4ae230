"""Which of several changes of one key counts, and which values did not travel. Pure."""

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from consumer.event import ChangeEvent


@dataclass(frozen=True, slots=True)
class Finals:
    """The newest change of each key, and the keys that had more than one."""

    changes: Sequence[ChangeEvent]
    repeated: frozenset[bytes]
    all_fresh: bool


def finals(changes: Sequence[ChangeEvent]) -> Finals:
    """Fresh changes of a key come in their order; among repeats only the position tells."""
    all_fresh = all([change.fresh for change in changes])
    newest: dict[bytes | None, ChangeEvent] = {change.record.key: change for change in changes}
    if len(newest) == len(changes):
        return Finals(changes, frozenset(), all_fresh)
    if not all_fresh:
        newest = {}
        for change in changes:
            before = newest.get(change.record.key)
            if before is None or before.position < change.position:
                newest[change.record.key] = change
    seen: set[bytes] = set()
    repeated = set()
    for change in changes:
        if change.key in seen:
            repeated.add(change.key)
        seen.add(change.key)
    return Finals(list(newest.values()), frozenset(repeated), all_fresh)


class Placeholder:
    """
    The token that stands for an unchanged TOAST value. Debezium gives arrays a form of it:
    text in a list, code points for integers, a version 3 UUID for uuid.
    """

    def __init__(self, token: str) -> None:
        points = [ord(character) for character in token]
        named = str(uuid.UUID(bytes=_version3(token)))
        self._forms: list[Any] = [token, [token], points, [named], f'{{"{token}":"{token}"}}']
        self._token = token.encode()
        self._in_arrays = (",".join(map(str, points)).encode(), named.encode())

    def may_be_in(self, value: bytes | None, *, arrays: bool) -> bool:
        """Whether the text of an event has it, or, with `arrays`, one of its other forms."""
        if value is None:
            return False
        return self._token in value or (arrays and any(form in value for form in self._in_arrays))

    def fields_of(self, row: Any) -> list[str]:
        return [name for name in row.__struct_fields__ if getattr(row, name) in self._forms]


def _version3(token: str) -> bytes:
    """Java's UUID.nameUUIDFromBytes."""
    digest = bytearray(hashlib.md5(token.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x30
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def merged(
    changes: Sequence[ChangeEvent],
    read: Callable[[Any], Any],
    placeholder: Placeholder,
) -> tuple[Any, list[str]]:
    """
    The last row of these changes of one key, with what it leaves out taken from those before it,
    and the fields that even so did not travel.
    """
    row: Any = None
    kept: list[str] = []
    for change in changes:
        if change.op == "d":
            row = None
            continue
        present = read(change.after)
        missing = placeholder.fields_of(present)
        taken: Mapping[str, Any] = (
            {} if row is None else {f: getattr(row, f) for f in missing if f not in kept}
        )
        row = replace(present, **taken)
        kept = [field for field in missing if field not in taken]
    return row, kept
