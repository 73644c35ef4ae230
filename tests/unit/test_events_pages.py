"""The AsyncAPI document and the page of all events."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from eventstore import asyncapi, catalogue, page
from eventstore.catalogue import Catalogue
from eventstore.contracts import Contracts, Event
from eventstore.overview import overview, rows, topic_of
from tests.guided import guided

hotel = guided()
OLD = {"hotel.room.held": {1: {"type": "object", "properties": {"old_room": {"type": "string"}}}}}
SEEN = overview(hotel, Catalogue(OLD))
API: Any = asyncapi.document(SEEN)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def target(reference: str) -> Any:
    found = API
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_document_has_what_asyncapi_wants() -> None:
    assert API["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(API["info"])
    assert {"channels", "operations", "components", "defaultContentType"} <= set(API)
    channel = API["channels"]["events"]
    assert channel["address"] == channel["bindings"]["kafka"]["topic"] == "hotel.events"
    operation = API["operations"]["publish"]
    assert operation["action"] == "send"
    assert target(operation["channel"]["$ref"]) is channel
    names = {each["$ref"].rpartition("/")[2] for each in operation["messages"]}
    assert names == set(channel["messages"]) == set(API["components"]["messages"])
    key = re.compile(r"[A-Za-z0-9._-]+")
    for kind in ("messages", "schemas"):
        assert all(key.fullmatch(name) for name in API["components"][kind])


def test_every_reference_leads_somewhere_in_the_document() -> None:
    found = list(references(API))
    assert found
    assert all(target(each) is not None for each in found)


def test_headers_are_those_of_cloudevents_in_binary_mode() -> None:
    names = "id type source time dataschema specversion correlationid causationid".split()
    assert set(API["components"]["schemas"]["headers"]["properties"]) == {
        *(f"ce_{name}" for name in names),
        "traceparent",
    }


@pytest.mark.parametrize("name", API["components"]["messages"])
def test_examples_are_what_the_document_describes(name: str) -> None:
    message = API["components"]["messages"][name]
    (example,) = message["examples"]
    for part in ("payload", "headers"):
        validator = jsonschema.Draft7Validator({**API, "$ref": message[part]["$ref"]})
        validator.check_schema(target(message[part]["$ref"]))
        validator.validate(example[part])
        wrong: dict[str, list[Any]] = {key: [] for key in example[part]}
        assert list(validator.iter_errors(wrong)) != []
    event = hotel.decode(message["name"], message["x-version"], example["payload"])
    assert json.loads(hotel.encode(event)) == example["payload"]


def test_what_newer_code_adds_is_let_through() -> None:
    assert '"additionalProperties": false' not in json.dumps(API)


def test_readers_and_version_are_said() -> None:
    message = API["components"]["messages"]["hotel.room.held.2"]
    assert (message["x-version"], message["x-readers"]) == (2, ["billing", "search"])


@pytest.mark.parametrize(
    ("source", "topic"),
    [
        ("/hotel", "hotel.events"),
        ("https://example.org/shops/eu west/", "eu-west.events"),
        ("hotel", "hotel.events"),
    ],
)
def test_the_topic_is_named_after_the_service(source: str, topic: str) -> None:
    assert topic_of(source) == topic


def test_fields_are_told_to_their_depth() -> None:
    found = {each.path: each for each in rows(catalogue.schema(hotel["hotel.room.held"]))}
    assert found["nights"].limits == ("more than 0", "at most 30")
    assert found["price"].limits == ("decimal places: 2", "max digits: 8")
    assert found["price"].type == "number or string"
    assert found["until"].type == "date-time or null"
    assert found["paid_by"].type == "card or cash, told apart by kind"
    assert found["paid_by(card).number"].needed
    assert found["extras[].name"].says == "As on the bill."
    assert found["extras[].parts"].type == "list of Extra"
    assert "extras[].parts[].name" not in found
    assert found["by_day{}.amount"].type == "integer"
    assert found["place"].type == "[integer, string]"
    assert found["colour"].type == '"red" or "blue"'
    assert found["tags"].default == ([],)
    assert found["anything"].type == "anything"


def test_the_page_says_everything_and_needs_nothing_else() -> None:
    text = page.render(SEEN)
    assert text == page.render(SEEN)
    shown = unescape(re.sub(r"<[^>]+>", " ", text))
    for said in ("hotel.room.held", "hotel.room.freed", "billing, search", "nobody yet", "ce_id"):
        assert said in shown
    assert "more than 0" in shown
    assert "old_room" in shown
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert "$" not in re.sub(r"\^r\[0-9\]\+\$", "", shown)


def test_what_users_write_is_no_markup() -> None:
    made = Contracts("/<b>")

    class Evil(Event):
        """<script>alert(1)</script>"""

        a: Literal["<i>"] = Field("<i>", description="<u>")

    made.event("a.b")(Evil)
    made.reads("<s>", Evil)
    text = page.render(overview(made, Catalogue()))
    assert not re.search(r"<(script|i|u|s|b)>(?!<?/?b?)", text.replace("<b>required</b>", ""))
    assert "&lt;script&gt;" in text


def test_an_event_without_an_example_is_described_all_the_same() -> None:
    made = Contracts("/hotel")

    class Shaped(BaseModel):
        code: Annotated[str, Field(pattern="^[a-z]{3}$")]

    class Coded(Event):
        shaped: Shaped

    made.event("a.b")(Coded)
    seen = overview(made, Catalogue())
    assert "examples" not in asyncapi.document(seen)["components"]["messages"]["a.b.1"]
    assert "No example can be made" in page.render(seen)
