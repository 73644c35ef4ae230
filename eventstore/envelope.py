"""
A CloudEvent in Kafka's binary mode, read from a record: attributes from headers, data from the
value. Pure, and only what is needed; the package `cloudevents` says the same in the tests.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from consumer.errors import Unreadable
from consumer.event import Record

PREFIX: Final = "ce_"
LONGEST_BYTES = 4096  # of a header: a CloudEvent's attributes are small
LONGEST_IDENTITY_BYTES = 2000  # with the consumer it is a key of the inbox: 2,704 bytes at most
LONGEST_NAME = 256  # characters of a header's name; ours are short
MOST_HEADERS = 100
_VERSION = re.compile(r"[:/]v?([1-9][0-9]{0,8})(?:\.json)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_META = {
    "ce_correlationid": "correlation",
    "ce_causationid": "causation",
    "traceparent": "traceparent",
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    What is said of an event. `source` and `id` together are its identity. `version` is that of the
    data's schema, the last number of `dataschema`, 1 without one. `time` is in UTC, None where it
    is not said. `aggregate` is the type of what `subject` is. `meta` may have correlation,
    causation and traceparent.
    """

    id: str
    source: str
    type: str
    version: int
    time: datetime | None
    subject: str | None
    data: bytes
    meta: Mapping[str, str] = field(default_factory=dict)
    aggregate: str | None = None


def envelope(record: Record) -> Envelope:
    """Raises Unreadable with what is missing or wrong; never with a value, which may be private."""
    said = _headers(record)
    spec = _needed(said, "ce_specversion")
    if spec != "1.0":
        raise Unreadable("its header ce_specversion is not 1.0: this is no CloudEvent that we know")
    if not said.get("content-type", "application/json").startswith("application/json"):
        raise Unreadable("its header content-type is not application/json")
    if record.value is None:
        raise Unreadable("it has no data: the record's value is empty")
    id_, source = _needed(said, "ce_id"), _needed(said, "ce_source")
    if len(id_.encode()) + len(source.encode()) > LONGEST_IDENTITY_BYTES:
        raise Unreadable(
            "its headers ce_id and ce_source are together longer than"
            f" {LONGEST_IDENTITY_BYTES} bytes"
        )
    return Envelope(
        id=id_,
        source=source,
        type=_needed(said, "ce_type"),
        version=_version(said.get("ce_dataschema")),
        time=_time(said.get("ce_time")),
        subject=said.get("ce_subject"),
        data=record.value,
        meta={name: said[header] for header, name in _META.items() if header in said},
        aggregate=said.get("ce_aggregatetype"),
    )


def _headers(record: Record) -> dict[str, str]:
    """Those that we read; what is not ours may be anything."""
    if len(record.headers) > MOST_HEADERS:
        raise Unreadable(f"it has {len(record.headers)} headers, more than {MOST_HEADERS}")
    said: dict[str, str] = {}
    for given, value in record.headers:
        name = _ours(given) if len(given) <= LONGEST_NAME else None
        if name is None or value is None:
            continue
        if name in said:
            raise Unreadable(f"its header {name:.40} is there twice, so what holds is not known")
        said[name] = _text(name, value)
    return said


@lru_cache(maxsize=1024)
def _ours(given: str) -> str | None:
    """The name as we know it, None where it says nothing to us."""
    name = given.lower()
    is_ours = name.startswith(PREFIX) or name in ("content-type", "traceparent")
    return name if is_ours else None


def _text(name: str, value: bytes) -> str:
    if len(value) > LONGEST_BYTES:
        raise Unreadable(f"its header {name:.40} is longer than {LONGEST_BYTES} bytes")
    if b"\0" in value:
        raise Unreadable(f"its header {name:.40} has the character 0, which no text may have")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"its header {name:.40} is not UTF-8") from None


def _needed(said: Mapping[str, str], name: str) -> str:
    value = said.get(name)
    if not value:
        raise Unreadable(f"it has no header {name}, which every CloudEvent has")
    return value


@lru_cache(maxsize=1024)
def _version(dataschema: str | None) -> int:
    if dataschema is None:
        return 1
    start = max(dataschema.rfind(":"), dataschema.rfind("/"))
    found = _VERSION.fullmatch(dataschema, start) if start >= 0 else None
    if found is None:
        raise Unreadable(
            "its header ce_dataschema does not end in a version, like …:2 or …/v2.json"
        )
    return int(found[1])


def _time(text: str | None) -> datetime | None:
    """RFC 3339; nanoseconds are cut to microseconds, which is all that a datetime holds."""
    if text is None:
        return None
    try:
        found = _TIME.fullmatch(text)
        if found:
            fraction = found[1] or ""
            zone = "+00:00" if found[2] in "Zz" else found[2]
            cut = f"{text[:10]}T{text[11:19]}{fraction[:7]:0<7}" if fraction else text[:19]
            return datetime.fromisoformat(cut + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Unreadable("its header ce_time is no time by RFC 3339")
