"""`tailrace supervise`: what a person sees of sagas and does with them, and what is refused."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import psycopg
import pytest
import yaml
from click.testing import CliRunner

from devstack import Endpoints
from examples.tour.booking import BookTour, office
from examples.tour.load import requests
from sagas.orchestrator import start
from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.databases import Databases
from tailrace.schemas import OUTPUTS, schema
from tests.post import prepare


class Desk:
    """A pipeline with an orchestrator whose participants never answer."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.file = folder / "tours.yaml"
        sink = {"type": "subscriber", "dsn": dsn, "module": "examples.tour.booking:office"}
        source = {"dsn": dsn, "tables": ["eventstore.outbox"], "placeholder": "x" * 20}
        self.file.write_text(
            yaml.safe_dump(
                {"pipeline": "tours", "source": source, "sinks": {"work": sink | {"topics": ["t"]}}}
            )
        )

    def make_tables(self) -> None:
        with psycopg.connect(self.dsn) as connection:
            prepare(connection, office)

    def begin(self) -> UUID:
        with psycopg.connect(self.dsn) as connection:
            request = next(requests(seed=1))[1]
            return start(connection, office, BookTour, request, actor="ada")

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        words = ("supervise", *words, "--config", str(self.file))
        done = CliRunner(mix_stderr=False).invoke(app, words)
        ended = done.exception if isinstance(done.exception, Problem) else None
        talk = str(ended) if ended else done.stderr
        assert (ended or done).exit_code == code, (words, talk, done.exc_info)
        return done.stdout, talk

    def said(self, command: str, *words: str, code: int = 0) -> Any:
        found = json.loads(self.run(*command.split(), *words, "--json", code=code)[0])
        jsonschema.validate(found, schema(OUTPUTS[f"supervise {command}"]))
        return found


@pytest.fixture
def desk(new_database: Databases, endpoints: Endpoints, tmp_path: Path) -> Desk:
    return Desk(new_database(), tmp_path)


def test_look_cancel_and_look_again(desk: Desk) -> None:
    desk.make_tables()
    assert desk.said("list") == []
    saga = str(desk.begin())
    (one,) = desk.said("list")
    assert (one["id"], one["status"]) == (saga, "RUNNING")
    assert [step["status"] for step in one["steps"]] == ["SENT"] * 3 + ["PENDING"] * 2
    assert "waits for flight, hotel, car" in desk.run("list")[0]
    desk.run("compensate", saga, "--reason", "a test")
    shown = desk.said("show", saga)
    assert shown["saga"]["status"] == "COMPENSATING"
    last = shown["log"][-1]
    assert (last["kind"], last["reason"]) == ("gave up", "a test")
    assert last["actor"]
    assert desk.said("list", "--status", "PARKED") == []
    assert "gave up" in desk.run("show", saga)[0]
    assert desk.said("log verify") == {"ok": True, "lines": 2, "breaks": [], "topic": None}


def test_what_does_not_fit_is_refused(desk: Desk) -> None:
    assert "run `tailrace schema apply`" in desk.run("list", code=1)[1]
    desk.make_tables()
    saga = str(desk.begin())
    assert "is not parked: it is RUNNING" in desk.run("resume", saga, "--reason", "x", code=1)[1]
    assert "Say why" in desk.run("compensate", saga, "--reason", " ", code=2)[1]
    other = str(uuid4())
    assert f"no saga {other}" in desk.run("show", other, code=1)[1]
    assert f"no saga {other}" in desk.run("compensate", other, "--reason", "x", code=1)[1]
    assert "is no saga's id" in desk.run("show", "17", code=2)[1]
    desk.run("compensate", saga, "--reason", "x")
    assert "is being undone already" in desk.run("compensate", saga, "--reason", "x", code=1)[1]


def test_a_line_that_was_changed_is_found(desk: Desk) -> None:
    desk.make_tables()
    desk.begin()
    desk.begin()
    with psycopg.connect(desk.dsn) as connection:
        connection.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        connection.execute("UPDATE sagas.log SET actor = 'eve' WHERE seq = 1")
    found = desk.said("log verify", code=1)
    assert [each["seq"] for each in found["breaks"]] == [1]
    assert "row 1 is not what was written" in desk.run("log", "verify", code=1)[0]


def test_a_log_that_is_not_published_says_so(desk: Desk) -> None:
    desk.make_tables()
    said = desk.run("log", "verify", "--topic", code=2)[1]
    assert "put sagas.log among `source.tables`" in said
    assert "leave out --sink" in desk.run("log", "verify", "--topic", "--sink", "work", code=2)[1]


def test_a_pipeline_without_sagas_says_so(desk: Desk) -> None:
    text = desk.file.read_text().replace("booking:office", "services:hotel")
    desk.file.write_text(text)
    assert "orchestrates sagas" in desk.run("list", code=2)[1]
