"""What commands print with --json: described for each of them, and the pages are up to date."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from click import Command, Context, Group
from click.utils import make_default_short_help

from tailrace.cli import COMMANDS, app
from tailrace.demo import Story, figures
from tailrace.schemas import ACTS, DIALECT, OUTPUTS, documents, schema

DOCS = Path(__file__).resolve().parents[2] / "docs"


def commands(group: Group, path: str = "") -> Iterator[tuple[str, Command]]:
    context = Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        where = f"{path} {name}".strip()
        if isinstance(command, Group):
            yield from commands(command, where)
        else:
            yield where, command


def test_the_list_of_commands_says_what_each_says_itself() -> None:
    """It is shown without importing any of them."""
    context = Context(app)
    said = {name: app.get_command(context, name) for name in app.list_commands(context)}
    assert {
        name: command and make_default_short_help(command.help or "", 1000)
        for name, command in said.items()
    } == COMMANDS


def test_every_command_is_there_and_those_with_data_have_json() -> None:
    found = dict(commands(app))
    assert sorted(found) == sorted([*OUTPUTS, *ACTS])
    with_json = {
        name
        for name, command in found.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert with_json == set(OUTPUTS)


def test_the_pages_are_what_the_registry_says() -> None:
    written = documents()
    there = {f"schemas/{file.name}" for file in (DOCS / "schemas").iterdir()} | {"json.md"}
    assert there == set(written)
    for path, text in written.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize("command", OUTPUTS)
def test_schemas_are_schemas_and_leave_nothing_open(command: str) -> None:
    found = schema(OUTPUTS[command])
    assert found["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(found)
    for definition in found.get("$defs", {}).values():
        if "properties" in definition:
            assert definition["additionalProperties"] is False
            assert definition["required"] == list(definition["properties"])


def test_a_schema_refuses_what_is_not_like_it() -> None:
    figure = figures(Story())
    jsonschema.validate(figure, schema(OUTPUTS["demo"]))
    for wrong in ({}, figure | {"more": 1}, figure | {"equal": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema(OUTPUTS["demo"]))
