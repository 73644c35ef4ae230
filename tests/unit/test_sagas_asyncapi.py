"""The AsyncAPI document of sagas: all that is said in the tour, where, and what answers it."""

import re
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from examples.tour.booking import BookTour, office
from sagas import asyncapi
from tailrace.cli import app
from tests.unit.test_events_pages import references

API: Any = asyncapi.document(office.name, office.sagas)
MESSAGES = API["components"]["messages"]


def target(reference: str) -> Any:
    found = API
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def names(references: list[dict[str, str]]) -> set[str]:
    return {each["$ref"].rpartition("/")[2].rpartition(".")[0] for each in references}


def test_the_document_has_what_asyncapi_wants() -> None:
    assert API["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(API["info"])
    key = re.compile(r"[A-Za-z0-9._-]+")
    for kind in (*API["components"].values(), API["channels"], API["operations"]):
        assert all(key.fullmatch(name) for name in kind)
    for operation in API["operations"].values():
        assert operation["action"] == "send"
        for part in (operation, operation["reply"]):
            channel = part["channel"]["$ref"]
            assert target(channel)["address"]
            assert all(each["$ref"].startswith(f"{channel}/messages/") for each in part["messages"])


def test_every_reference_leads_somewhere_in_the_document() -> None:
    found = list(references(API))
    assert found
    assert all(target(each) is not None for each in found)


def test_each_step_has_its_command_and_answers_and_its_undo_unless_it_is_final() -> None:
    operations = API["operations"]
    assert {name.split(".")[1] for name in operations} == set(BookTour.steps)
    hotel = operations["book-tour.hotel.do"]
    action = BookTour.steps["hotel"].action
    assert names(hotel["messages"]) == {action.takes.contract.name}
    assert names(hotel["reply"]["messages"]) == {
        action.gives.contract.name,
        *(each.contract.name for each in action.refuses),
        "saga.failed",
    }
    assert target(hotel["channel"]["$ref"])["address"] == "tours.commands.hotel"
    assert target(hotel["reply"]["channel"]["$ref"])["address"] == "hotel.events"
    undo = operations["book-tour.hotel.undo"]
    assert names(undo["messages"]) == {"saga.undo"}
    said = {"saga.undone", "saga.voided", "saga.failed"}
    refusals = {each.contract.name for each in action.refuses}
    assert names(undo["reply"]["messages"]) == said | refusals
    assert "book-tour.tickets.undo" not in operations
    paid = names(operations["book-tour.pay.undo"]["reply"]["messages"])
    assert BookTour.steps["pay"].action.gives.contract.name in paid


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_are_what_the_document_describes(name: str) -> None:
    message = MESSAGES[name]
    (example,) = message["examples"]
    for part in ("payload", "headers"):
        validator = jsonschema.Draft7Validator({**API, "$ref": message[part]["$ref"]})
        validator.check_schema(target(message[part]["$ref"]))
        validator.validate(example[part])


def test_the_command_prints_it() -> None:
    done = CliRunner(mix_stderr=False).invoke(
        app, ["sagas", "asyncapi", "examples.tour.booking:office"]
    )
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout) == asyncapi.document(office.name, office.sagas)
