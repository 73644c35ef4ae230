"""The AsyncAPI 3 document of a service's events, for tools and for teams that read them."""

from collections.abc import Iterable, Mapping
from typing import Any

from eventstore.nodes import Schema
from eventstore.overview import Entry, Overview

VERSION = "3.0.0"
HEADERS: Mapping[str, Schema] = {
    "ce_specversion": {"const": "1.0", "description": "The version of CloudEvents."},
    "ce_id": {
        "format": "uuid",
        "description": "The event's id, the same however often it is delivered.",
    },
    "ce_type": {"description": "The event's name, like hotel.room.held."},
    "ce_source": {"description": "The service that published it."},
    "ce_time": {"format": "date-time", "description": "When it was published."},
    "ce_dataschema": {
        "format": "uri-reference",
        "description": "Names the schema of the data; its end is name and version.",
    },
    "ce_correlationid": {"description": "What it belongs to: the same from first to last event."},
    "ce_causationid": {"description": "The id of the command or event that led to it."},
    "traceparent": {"description": "Its place in a trace, as W3C Trace Context has it."},
}
REQUIRED = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema")


def document(overview: Overview) -> dict[str, Any]:
    """Made of dicts, lists and scalars alone, and the same for the same events."""
    names = [message_name(entry) for entry in overview.events]
    newest = max((entry.version for entry in overview.events), default=1)
    return {
        **head(f"Events of {overview.source}", newest),
        "channels": {
            "events": channel(
                overview.topic,
                "Keyed by aggregate: the events of one aggregate stay in order.",
                names,
            )
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": f"{overview.source} publishes what happened, through its outbox.",
                "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in names],
            }
        },
        "components": components([overview]),
    }


def head(title: str, version: int) -> dict[str, Any]:
    """What stands before everything else."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": title,
            "version": f"{version}.0.0",
            "description": "CloudEvents 1.0 in binary mode: the data is the record's value, the"
            " attributes are its headers. Fields that a reader does not know are to be ignored.",
        },
        "defaultContentType": "application/json",
    }


def channel(topic: str, says: str, names: Iterable[str]) -> dict[str, Any]:
    """A topic of Kafka's with the messages that are in it."""
    return {
        "address": topic,
        "description": says,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def components(overviews: Iterable[Overview]) -> dict[str, Any]:
    """Messages and schemas of all of these; of two messages of one name the first."""
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", **said} for name, said in HEADERS.items()},
            "required": list(REQUIRED),
        }
    }
    for overview in overviews:
        for entry in overview.events:
            messages.setdefault(message_name(entry), _message(overview, entry))
            schemas |= _schemas(entry)
    return {"messages": messages, "schemas": schemas}


def message_name(entry: Entry) -> str:
    """Under which the document has it."""
    return f"{entry.name}.{entry.version}"


def _message(overview: Overview, entry: Entry) -> dict[str, Any]:
    name = message_name(entry)
    said = {
        "name": entry.name,
        "title": f"{entry.name}, version {entry.version}",
        **({"summary": entry.says} if entry.says else {}),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The aggregate's id."},
                "bindingVersion": "0.5.0",
            }
        },
        "x-version": entry.version,
        "x-readers": list(entry.readers),
    }
    if entry.example is not None:
        headers = {
            "ce_specversion": "1.0",
            "ce_id": "00000000-0000-4000-8000-000000000000",
            "ce_type": entry.name,
            "ce_source": overview.source,
            "ce_time": "2026-01-02T03:04:05Z",
            "ce_dataschema": f"urn:tailrace:{entry.name}:{entry.version}",
        }
        said["examples"] = [{"headers": headers, "payload": entry.example}]
    return said


def _schemas(entry: Entry) -> dict[str, Any]:
    """The event's and those of the models in it: references start at the whole document here."""
    name = message_name(entry)
    inner = entry.schema.get("$defs", {})
    whole = {key: value for key, value in entry.schema.items() if key not in ("$defs", "$schema")}
    models = {name: whole, **{f"{name}.{model}": schema for model, schema in inner.items()}}
    return {key: _ported(schema, name) for key, schema in models.items()}


def _ported(schema: Any, name: str) -> Any:
    """
    From JSON Schema 2020-12 to that of AsyncAPI, which grew from draft 7. A discriminator is left
    out, since it means something narrower there; the alternatives' tags tell as much. Fields that
    are not known are let through: readers have to ignore what newer code adds.
    """
    if not isinstance(schema, Mapping):
        return schema
    said = {key: value for key, value in schema.items() if key != "discriminator"}
    if said.get("additionalProperties") is False:
        del said["additionalProperties"]
    if "prefixItems" in said:
        rest = said.pop("items", said.get("maxItems") != len(said["prefixItems"]))
        said |= {"items": said.pop("prefixItems"), "additionalItems": rest}
    return {key: _ported_inside(key, value, name) for key, value in said.items()}


def _ported_inside(keyword: str, value: Any, name: str) -> Any:
    if keyword == "$ref":
        return f"#/components/schemas/{name}.{value.rpartition('/')[2]}"
    if keyword == "properties":
        return {field: _ported(each, name) for field, each in value.items()}
    if keyword not in _HOLDS_SCHEMAS:
        return value
    return (
        [_ported(each, name) for each in value] if isinstance(value, list) else _ported(value, name)
    )


_HOLDS_SCHEMAS = (
    "anyOf",
    "oneOf",
    "items",
    "additionalItems",
    "additionalProperties",
    "propertyNames",
)
