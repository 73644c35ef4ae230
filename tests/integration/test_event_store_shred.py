"""Personal fields are readable as long as their key is there, and never again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import psycopg
import pytest
from click.testing import CliRunner
from pydantic import Field

from eventstore import audit
from eventstore.aggregate import execute, load_state, save_snapshot
from eventstore.contracts import Contracts, Event, Invalid
from eventstore.recorded import Connection
from eventstore.shred import ERASED, Personal, forget, personal_fields, readable
from eventstore.store import NEW, append, create_schema, load, pages
from examples.bank.account import Deposit, Open, account, decide
from examples.bank.events import Opened, contracts
from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.databases import Databases

NAME = "Ada Lovelace"

BALANCES = {"type": "projection", "module": "examples.bank.projections:balances"}


@pytest.fixture
def dsn(new_database: Databases) -> str:
    """Two accounts of Ada and one of Bob, with snapshots, all sealed."""
    made = new_database()
    with psycopg.connect(made) as tx:
        create_schema(tx)
        for id_, customer, owner in (("1", "ada", NAME), ("2", "ada", NAME), ("3", "bob", "Bob")):
            execute(tx, account, id_, decide, Open(customer, owner))
            execute(tx, account, id_, decide, Deposit(5))
            save_snapshot(tx, account, id_, load_state(tx, account, id_))
        tx.commit()
        audit.seal(tx)
    return made


@pytest.fixture
def tx(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn) as connection:
        yield connection


def owner(tx: Connection, id_: str) -> str:
    event = load(tx, contracts, account.stream(id_))[0].event
    assert isinstance(event, Opened)
    return event.owner


def everything(tx: Connection) -> str:
    rows = tx.execute("SELECT e::text FROM eventstore.events e").fetchall()
    rows += tx.execute("SELECT s::text FROM eventstore.snapshots s").fetchall()
    return "".join(row[0] for row in rows)


def test_who_is_forgotten_cannot_be_read_any_more(tx: Connection) -> None:
    assert [owner(tx, id_) for id_ in "123"] == [NAME, NAME, "Bob"]
    done = forget(tx, "ada")
    assert (done.keys, done.streams, done.snapshots) == (1, ["account-1", "account-2"], 2)
    assert [owner(tx, id_) for id_ in "123"] == [ERASED, ERASED, "Bob"]
    states = [load_state(tx, account, id_).state for id_ in "123"]
    assert [state.owner for state in states] == [ERASED, ERASED, "Bob"]
    assert [state.balance_cents for state in states] == [5, 5, 5]
    assert next(audit.history(tx, "account-1")).data["owner"] == ERASED
    assert NAME not in everything(tx)
    assert audit.verify(tx, [account]).ok  # not a byte of an event has changed
    assert (forget(tx, "ada").keys, forget(tx, "nobody").streams) == (0, [])


def test_it_is_stored_encrypted(tx: Connection) -> None:
    (page,) = pages(tx, "account-1")
    assert NAME not in page[0].data
    keys = {str(id_): key for id_, key in tx.execute("SELECT id, key FROM eventstore.subject_keys")}
    assert readable(json.loads(page[0].data), keys) == {"customer": "ada", "owner": NAME}
    assert readable(json.loads(page[0].data), {}) == {"customer": "ada", "owner": ERASED}
    boxes = {
        json.loads(row[0])["owner"]["$personal"]["box"]
        for row in tx.execute(
            "SELECT data::text FROM eventstore.events WHERE pos = 0 AND stream < 'account-3'"
        )
    }
    assert len(boxes) == 2  # the same name, and nobody sees that


def test_who_comes_back_has_another_key(tx: Connection) -> None:
    forget(tx, "ada")
    append(tx, contracts, "account-9", [Opened(customer="ada", owner="A. L.")], expected=NEW)
    assert (owner(tx, "9"), owner(tx, "1")) == ("A. L.", ERASED)


def test_the_same_append_again_is_done_already(tx: Connection) -> None:
    events = [Opened(customer="eve", owner="Eve")]
    (first,) = append(tx, contracts, "account-9", events, expected=NEW)
    again = append(tx, contracts, "account-9", events, expected=NEW, ids=[first.id])
    assert again == (first,)


def test_a_value_that_was_tampered_with_is_no_value(tx: Connection) -> None:
    (page,) = pages(tx, "account-1")
    data = json.loads(page[0].data)
    keys = {str(id_): key for id_, key in tx.execute("SELECT id, key FROM eventstore.subject_keys")}
    said = data["owner"]["$personal"]
    said["box"] = said["box"][:-8] + "AAAAAAA="
    with pytest.raises(Invalid, match="owner is not what was encrypted"):
        readable(data, keys)
    said["box"] = "y"
    with pytest.raises(Invalid, match="owner is not what was encrypted"):
        readable(data, keys)


@pytest.mark.parametrize("values", [("5", "{}"), ("{}", "[]")])
def test_what_is_stored_past_the_code_is_an_object_too(
    tx: Connection, values: tuple[str, str]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        tx.execute(
            "INSERT INTO eventstore.events (stream, pos, id, type, version, data, meta)"
            " VALUES ('raw-1', 0, gen_random_uuid(), 'raw', 1, %s, %s)",
            values,
        )


def test_fields_that_cannot_be_personal_are_refused(tx: Connection) -> None:
    other = Contracts("/other")

    @other.event("guest.lost")
    class NoSubject(Event):
        name: Annotated[str, Personal("nobody")]

    @other.event("guest.short")
    class TooShort(Event):
        guest: str
        name: Annotated[str, Personal("guest"), Field(max_length=3)]

    @other.event("guest.aged")
    class NoText(Event):
        guest: str
        age: Annotated[int, Personal("guest")]

    for event in (NoSubject(name="x"), TooShort(guest="g", name="x"), NoText(guest="g", age=1)):
        with pytest.raises(Invalid, match=r"must be a plain field|must be text that can be"):
            append(tx, other, "guest-1", [event], expected=NEW)


@pytest.mark.parametrize("inner", [5, {"x": 1}, {"key": 1}])
def test_data_that_only_resembles_an_encrypted_field_can_be_read(
    tx: Connection, inner: object
) -> None:
    other = Contracts("/other")

    @other.event("guest.wrote")
    class Wrote(Event):
        form: dict[str, Any]

    append(tx, other, "guest-1", [Wrote(form={"$personal": inner})], expected=NEW)
    (recorded,) = load(tx, other, "guest-1")
    assert recorded.event == Wrote(form={"$personal": inner})
    forged = Wrote(form={"$personal": {"key": "x", "box": "y"}})
    with pytest.raises(Invalid, match="looks like one that was encrypted"):
        append(tx, other, "guest-1", [forged], expected=1)


def test_a_field_that_is_not_there_stays_so(tx: Connection) -> None:
    other = Contracts("/other")

    @other.event("guest.came")
    class Came(Event):
        guest: int
        name: Annotated[str | None, Personal("guest")] = None

    assert personal_fields(Came) == {"name": "guest"}
    append(tx, other, "guest-1", [Came(guest=7), Came(guest=7, name='Zoë "Z"')], expected=NEW)
    assert [one.event for one in load(tx, other, "guest-1")] == [
        Came(guest=7),
        Came(guest=7, name='Zoë "Z"'),
    ]
    assert forget(tx, "7").keys == 1
    assert [one.event for one in load(tx, other, "guest-1")] == [
        Came(guest=7),
        Came(guest=7, name=ERASED),
    ]


def test_the_command_is_logged_first(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    pipeline = {
        "pipeline": "bank",
        "source": {
            "dsn": dsn,
            "tables": ["eventstore.events"],
            "placeholder": "unchanged-0123456789abcdef",
            "password_reference": "${env:PASSWORD}",
        },
        "sinks": {"balances": BALANCES | {"dsn": dsn}},
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(pipeline))
    words = ["events", "forget", "ada", "--config", str(file), "--reason"]
    with pytest.raises(Problem, match="TR-EVT-026"):
        CliRunner().invoke(app, [*words, " ", "--yes"], catch_exceptions=False)
    with pytest.raises(Problem, match="TR-EVT-027"):
        CliRunner().invoke(app, [*words, "she asked"], catch_exceptions=False)
    with psycopg.connect(dsn) as tx:
        assert owner(tx, "1") == NAME
    done = CliRunner().invoke(app, [*words, "she asked", "--yes"], catch_exceptions=False)
    assert "ada: 1 key(s) and 2 snapshot(s) deleted, 2 stream(s) held it" in done.output
    acts = CliRunner(mix_stderr=False).invoke(app, ["actions", "-c", str(file), "--json"])
    (act,) = json.loads(acts.stdout)["actions"]
    assert (act["action"], act["target"], act["reason"]) == ("forget", "ada", "she asked")
    assert act["outcome"] == "1 key(s) and 2 snapshot(s) deleted"
    with psycopg.connect(dsn) as tx:
        assert owner(tx, "1") == ERASED
        tx.execute("ALTER TABLE eventstore.subject_keys RENAME TO away")
    with pytest.raises(Problem, match="TR-EVT-023"):
        CliRunner().invoke(app, [*words, "again", "--yes"], catch_exceptions=False)
