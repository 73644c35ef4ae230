"""`tailrace events export`, `check` and `docs`, and how the user's own code is named."""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.schemas import OUTPUTS, schema

HEAD = """
from typing import Annotated, Literal
from pydantic import Field
from eventstore.contracts import Contracts, Event

contracts = Contracts("/hotel")
"""
HELD = """
@contracts.event("hotel.room.held")
class RoomHeld(Event):
    room: str
    nights: Annotated[int, Field(gt=0, le=14)]

contracts.reads("billing", RoomHeld)
contracts.reads("search", RoomHeld)
"""
PAID = HELD.replace('held")', 'held", version=2)').replace("room: str", "room: str\n    paid: bool")
UPCAST = """
@contracts.upcast("hotel.room.held", to=2)
def _(data):
    return data | {"paid": False}
"""
NUMBERS = count()


class Project:
    """A user's repository: the module changes, the catalogue is committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalogue = folder / "catalogue"
        self.module = ""

    def write(self, *parts: str) -> "Project":
        """As a module that was never imported."""
        self.module = f"hotel_events_{next(NUMBERS)}"
        (self.folder / f"{self.module}.py").write_text("\n".join(parts))
        return self

    def run(self, command: str, *words: str) -> Result:
        folder = {"export": "--to", "check": "--against", "docs": "--to"}[command]
        args = ["events", command, f"{self.module}:contracts", folder, str(self.catalogue), *words]
        return CliRunner(mix_stderr=False).invoke(app, args)

    def problems(self) -> list[dict[str, Any]]:
        done = self.run("check", "--json")
        found = json.loads(done.stdout)
        jsonschema.validate(found, schema(OUTPUTS["events check"]))
        assert found["ok"] is (done.exit_code == 0) is (found["problems"] == [])
        problems: list[dict[str, Any]] = found["problems"]
        return problems

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.catalogue)): path.read_text()
            for path in sorted(self.catalogue.rglob("*.json"))
        }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Project(tmp_path)


@pytest.fixture
def exported(project: Project) -> Project:
    assert project.write(HEAD, HELD).run("export").exit_code == 0
    return project


def failed(done: Result) -> str:
    assert isinstance(done.exception, Problem)
    return str(done.exception)


def test_what_was_exported_is_in_order(exported: Project) -> None:
    assert list(exported.files()) == ["hotel.room.held/1.json", "readers.json"]
    assert exported.problems() == []
    again = exported.run("export")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "is up to date" in again.stderr


def test_the_files_do_not_depend_on_the_order_of_the_code(exported: Project) -> None:
    before = exported.files()
    moved = HELD.replace("room: str\n    ", "").replace(
        "\ncontracts.reads", "    room: str\n\ncontracts.reads", 1
    )
    exported.write(HEAD, moved, "contracts.reads('billing', RoomHeld)")
    assert exported.problems() == []
    exported.run("export")
    assert exported.files() == before
    assert all(text.endswith("}\n") for text in before.values())


def test_an_addition_is_allowed_and_has_to_be_exported(exported: Project) -> None:
    exported.write(HEAD, HELD.replace("room: str", 'room: str\n    view: str = "sea"'))
    (found,) = exported.problems()
    assert found["kind"] == "not exported"
    assert "allowed" in found["sentence"]
    assert exported.run("export").stdout.endswith("hotel.room.held/1.json\n")
    assert exported.problems() == []
    assert '"default": "sea"' in exported.files()["hotel.room.held/1.json"]


def test_a_break_names_field_reason_consumers_and_way_out(exported: Project) -> None:
    before = exported.files()
    exported.write(HEAD, HELD.replace("le=14", "le=30"))
    done = exported.run("check")
    assert done.exit_code == 1
    assert done.stdout == (
        "hotel.room.held 1, field nights: was at most 14 and is at most 30: code with the old"
        " contract would refuse new events (read by billing, search); make it version 2 with an"
        " upcaster, or take the change back.\n"
    )
    (found,) = exported.problems()
    assert found["consumers"] == ["billing", "search"]
    refused = exported.run("export")
    assert "TR-EVT-006" in failed(refused)
    assert "field nights" in refused.stderr
    assert exported.files() == before


def test_a_new_version_needs_its_upcaster_and_leaves_the_old_file(exported: Project) -> None:
    old = exported.files()["hotel.room.held/1.json"]
    exported.write(HEAD, PAID)
    assert [each["kind"] for each in exported.problems()] == ["not exported", "upcaster"]
    assert "TR-EVT-006" in failed(exported.run("export"))
    exported.write(HEAD, PAID, UPCAST)
    done = exported.run("export")
    assert "update billing, search before what publishes it" in done.stderr
    assert exported.files()["hotel.room.held/1.json"] == old
    assert "hotel.room.held/2.json" in exported.files()
    assert exported.problems() == []


@pytest.mark.parametrize(
    ("upcaster", "told"),
    [
        (UPCAST.replace("False", "'maybe'"), "paid: Input should be a valid boolean"),
        (UPCAST.replace("data |", "data['rooms'] |"), "the upcaster to version 2 failed"),
    ],
)
def test_upcasters_are_tried_on_examples(exported: Project, upcaster: str, told: str) -> None:
    (found,) = [
        each
        for each in exported.write(HEAD, PAID, upcaster).problems()
        if each["kind"] == "upcaster"
    ]
    assert found["version"] == 1
    assert told in found["sentence"]


def test_what_raises_in_an_upcaster_is_told_with_its_line(exported: Project) -> None:
    exported.write(HEAD, PAID, UPCAST.replace("return", "1 / 0; return"))
    told = failed(exported.run("check"))
    assert f"{exported.module}.py:" in told
    assert "ZeroDivisionError" in told


def test_what_no_example_can_be_made_of_is_said(project: Project) -> None:
    shaped = HELD.replace("room: str", "room: Annotated[str, Field(pattern='^r')]")
    project.write(HEAD, shaped).run("export")
    project.write(HEAD, shaped.replace('held")', 'held", version=2)'), UPCAST)
    done = project.run("check")
    assert "no example of it can be made" in done.stderr
    assert "room has a format or pattern" in done.stderr


@pytest.mark.parametrize(
    ("parts", "kinds"),
    [
        ([], ["removed", "not exported"]),
        ([PAID.replace("version=2", "version=3"), UPCAST], ["skipped", "upcaster"]),
        ([HELD, HELD.replace("RoomHeld", "Freed").replace("held", "freed")], ["not exported"] * 2),
        ([HELD.replace('"search"', '"find"')], ["not exported"]),
    ],
)
def test_what_else_is_amiss(exported: Project, parts: list[str], kinds: list[str]) -> None:
    found = exported.write(HEAD, *parts).problems()
    assert [each["kind"] for each in found] == kinds


def test_an_event_that_is_read_does_not_go_away(exported: Project) -> None:
    found = exported.write(HEAD).problems()[0]
    assert "not in the code any more, but read by billing, search" in found["sentence"]


def test_a_version_does_not_go_back(exported: Project) -> None:
    exported.write(HEAD, PAID, UPCAST).run("export")
    found = exported.write(HEAD, HELD).problems()
    assert [each["kind"] for each in found] == ["backwards"]


def test_a_lost_file_is_missed(exported: Project) -> None:
    exported.write(HEAD, PAID, UPCAST).run("export")
    third = PAID.replace("version=2", "version=3")
    exported.write(HEAD, third, UPCAST, UPCAST.replace("to=2", "to=3")).run("export")
    assert exported.problems() == []
    (exported.catalogue / "hotel.room.held" / "2.json").unlink()
    (found,) = exported.problems()
    assert (found["kind"], found["version"]) == ("skipped", 2)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("hotel.room.held/1.json", "<<<<<<< HEAD", "is no JSON: Expecting value: line 1"),
        ("hotel.room.held/1.json", "[]", "is no JSON object"),
        ("hotel.room.held/one.json", "{}", "is not named like a version"),
        ("readers.json", '{"billing": "hotel.room.held"}', "a list of events"),
    ],
)
def test_a_damaged_catalogue_is_told(exported: Project, file: str, text: str, told: str) -> None:
    (exported.catalogue / file).write_text(text)
    for command in ("check", "export"):
        assert told in failed(exported.run(command))


def test_a_folder_that_is_not_there_or_none_is_told(project: Project) -> None:
    project.write(HEAD, HELD)
    assert "write it with `tailrace events export" in failed(project.run("check"))
    project.catalogue.write_text("a file")
    assert "TR-EVT-008" in failed(project.run("export"))
    assert "TR-EVT-008" in failed(project.run("docs"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("payment: SecretStr", "field payment: 'writeOnly' in its schema"),
        ("payment: str = Field(alias='pay')", "written by another name"),
        ("payment: Callable[[], int]", "JSON Schema cannot describe"),
    ],
)
def test_fields_that_cannot_be_judged_are_not_exported(
    project: Project, body: str, told: str
) -> None:
    more = "from pydantic import SecretStr\nfrom collections.abc import Callable\n"
    project.write(more, HEAD, HELD.replace("room: str", body))
    done = project.run("export")
    assert told in failed(done) + done.stderr


def named(project: Project, name: str) -> str:
    done = CliRunner(mix_stderr=False).invoke(app, ["events", "check", name, "--against", "x"])
    return failed(done)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{module}", "write it like shop.events:contracts"),
        ("{module}:a b", "write it like"),
        ("nowhere_at_all:contracts", "There is no module nowhere_at_all"),
        ("{module}.deeper:contracts", "There is no module"),
        ("{module}:contract", "has no 'contract'; of type Contracts it has contracts"),
        ("{module}:RoomHeld", "and Contracts is needed"),
    ],
)
def test_a_wrong_name_is_told(project: Project, name: str, told: str) -> None:
    project.write(HEAD, HELD)
    assert told in named(project, name.format(module=project.module))


@pytest.mark.parametrize(
    ("code", "line", "told"),
    [
        ("\nimport not_there_at_all", 2, "No module named 'not_there_at_all'"),
        ("x = (", 1, "SyntaxError"),
        ("def f():\n    raise RuntimeError('so it is')\nf()", 2, "RuntimeError: so it is"),
        ("import sys\nprint('loud')\nsys.exit(3)", 3, "SystemExit"),
        (HEAD + "contracts.event('Held')", 7, "is named like hotel.room.held"),
    ],
)
def test_an_import_that_raises_is_told_with_its_line(
    project: Project, code: str, line: int, told: str
) -> None:
    project.write(code)
    found = named(project, f"{project.module}:contracts")
    assert told in found
    assert f"{project.module}.py:{line}:" in found


def test_what_a_module_prints_does_not_spoil_the_json(exported: Project) -> None:
    assert exported.write(HEAD, "print('loud')", HELD).problems() == []


def test_as_a_program_it_finds_the_working_directory(exported: Project) -> None:
    words = ["events", "check", f"{exported.module}:contracts", "--against", "catalogue"]
    program = Path(sys.executable).with_name("tailrace")
    done = subprocess.run(
        [program, *words], cwd=exported.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    exported.write(HEAD, "raise RuntimeError")
    words[2] = f"{exported.module}:contracts"
    done = subprocess.run(
        [program, *words], cwd=exported.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "[TR-EVT-005]" in done.stderr
