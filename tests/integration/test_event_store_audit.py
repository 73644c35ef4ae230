"""What was sealed cannot change unnoticed, and the past can be asked for."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
from click.testing import CliRunner

from eventstore.aggregate import execute
from eventstore.recorded import Meta
from eventstore.store import ANY, append, create_schema, load
from examples.bank.account import Close, Deposit, Open, account, decide
from examples.bank.events import Deposited, contracts
from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.databases import Databases
from tailrace.schemas import OUTPUTS, schema

ACCOUNT = "examples.bank.account:account"
OFTEN = "tests.integration.test_event_store_audit:often"
ADA = Meta(actor="ada", correlation="r1", causation="m1")

often = dataclasses.replace(account, snapshot_every=2)

BALANCES = {"type": "projection", "module": "examples.bank.projections:balances"}


def _fail(state: Any, event: Any) -> Any:
    raise KeyError(event.contract.name)


failing = dataclasses.replace(account, evolve=_fail)
forgetful = dataclasses.replace(account, evolve=lambda state, event: None)  # type: ignore[arg-type, return-value]


class Bank:
    """Accounts 1 and 2 with three events each, and the commands on them."""

    def __init__(self, dsn: str, file: Path) -> None:
        self.dsn, self.file = dsn, file
        pipeline = {
            "pipeline": "bank",
            "source": {
                "dsn": dsn,
                "tables": ["eventstore.events"],
                "placeholder": "unchanged-0123456789abcdef",
            },
            "connect": {"url": "http://127.0.0.1:1"},
            "kafka": {"bootstrap": "127.0.0.1:1"},
            "redis": {"url": "redis://127.0.0.1:1/0"},
            "sinks": {"balances": BALANCES | {"dsn": dsn}},
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(pipeline))
        with psycopg.connect(dsn) as tx:
            create_schema(tx)
            for id_ in ("1", "2"):
                execute(tx, often, id_, decide, Open(f"c{id_}", "Ada"), meta=ADA)
                execute(tx, often, id_, decide, Deposit(700))
                execute(tx, often, id_, decide, Close("moved"))

    def command(self, name: str, *words: str) -> Any:
        """What `tailrace events … --json` prints, which is as its schema says."""
        words = ("events", name, *words, "--config", str(self.file))
        told = CliRunner(mix_stderr=False).invoke(app, [*words, "--json"], catch_exceptions=True)
        if isinstance(told.exception, Problem):
            raise told.exception
        found = json.loads(told.stdout)
        jsonschema.validate(found, schema(OUTPUTS[f"events {name}"]))
        return found

    def shown(self, name: str, *words: str) -> str:
        """What it prints for people."""
        words = ("events", name, *words, "--config", str(self.file))
        return CliRunner(mix_stderr=False).invoke(app, words).stdout

    def tampered(self, act: str, condition: str, stream: str = "account-1") -> None:
        """By a superuser who takes the trigger away."""
        with psycopg.connect(self.dsn) as tx:
            tx.execute("ALTER TABLE eventstore.events DISABLE TRIGGER ALL")
            assert tx.execute(f"{act} WHERE stream = '{stream}' AND {condition}".encode()).rowcount
            tx.execute("ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_final")

    def more(self, count: int, stream: str = "account-1") -> None:
        with psycopg.connect(self.dsn) as tx:
            append(tx, contracts, stream, [Deposited(amount_cents=1)] * count, expected=ANY)


@pytest.fixture
def bank(new_database: Databases, tmp_path: Path) -> Bank:
    return Bank(new_database(), tmp_path / "pipeline.yaml")


def test_what_is_sealed_is_verified(bank: Bank) -> None:
    assert bank.command("seal") == {"streams": 2, "events": 8}
    assert bank.command("seal") == {"streams": 0, "events": 0}
    bank.more(3)
    assert bank.command("verify", "--aggregate", OFTEN) == {
        "ok": True,
        "streams": 2,
        "events": 11,
        "events_sealed": 8,
        "snapshots_checked": 4,
        "snapshots_unchecked": 0,
        "found": 0,
        "findings": [],
    }
    assert bank.command("seal") == {"streams": 1, "events": 3}
    found = bank.command("verify")
    assert (found["ok"], found["events_sealed"], found["snapshots_unchecked"]) == (True, 11, 4)
    assert "ok  11 events of 2 streams, 11 of them sealed" in bank.shown("verify")


CHANGE = "UPDATE eventstore.events SET "
CHANGE_SNAPSHOTS = "UPDATE eventstore.snapshots SET "


@pytest.mark.parametrize(
    ("change", "pos", "sealed"),
    [
        ("data = jsonb_set(data, '{amount_cents}', '1')", 1, "0 to 3"),
        ("meta = '{}'", 0, "0 to 3"),
        ("at = at - interval '1 us'", 3, "0 to 3"),
        ("id = gen_random_uuid()", 5, "4 to 6"),
        ("version = 1", 1, "0 to 3"),
        ("type = 'money.withdrawn'", 1, "0 to 3"),
    ],
)
def test_an_event_that_was_changed(bank: Bank, change: str, pos: int, sealed: str) -> None:
    bank.command("seal")
    bank.more(3)
    bank.command("seal")
    bank.tampered(CHANGE + change, f"pos = {pos}")
    found = bank.command("verify")
    assert not found["ok"]
    told = {"stream": "account-1", "sentence": f"its events {sealed} are not what was sealed"}
    assert found["findings"] == [told]  # and nothing follows from it
    assert "NOT OK" in bank.shown("verify")


def test_events_that_change_places(bank: Bank) -> None:
    bank.command("seal")
    for one, two in ((1, 99), (2, 1), (99, 2)):
        bank.tampered(f"{CHANGE}pos = {two}", f"pos = {one}")
    (found,) = bank.command("verify")["findings"]
    assert found["sentence"] == "its events 0 to 3 are not what was sealed"


def test_events_that_change_streams(bank: Bank) -> None:
    bank.command("seal")
    bank.tampered(f"{CHANGE}stream = 'account-x'", "pos = 1")
    bank.tampered(f"{CHANGE}stream = 'account-1'", "pos = 1", "account-2")
    bank.tampered(f"{CHANGE}stream = 'account-2'", "pos = 1", "account-x")
    found = bank.command("verify")["findings"]
    assert [(one["stream"], one["sentence"]) for one in found] == [
        ("account-1", "its events 0 to 3 are not what was sealed"),
        ("account-2", "its events 0 to 3 are not what was sealed"),
    ]


@pytest.mark.parametrize(
    ("gone", "sentences"),
    [
        ("= 0", ["events 0 to 0 are missing", "events 0 to 3 are not what was sealed"]),
        ("= 2", ["events 2 to 2 are missing", "events 0 to 3 are not what was sealed"]),
        ("= 3", ["event 3 was sealed, and is gone"]),
        (">= 0", ["event 3 was sealed, and is gone"]),
    ],
)
def test_an_event_that_was_removed(bank: Bank, gone: str, sentences: list[str]) -> None:
    bank.command("seal")
    bank.tampered("DELETE FROM eventstore.events", f"pos {gone}")
    found = bank.command("verify")
    assert not found["ok"]
    assert [one["sentence"] for one in found["findings"]] == [f"its {one}" for one in sentences]


def test_a_gap_is_found_without_a_seal(bank: Bank) -> None:
    bank.tampered("DELETE FROM eventstore.events", "pos = 2")
    (found,) = bank.command("verify")["findings"]
    assert found["sentence"] == "its events 2 to 2 are missing"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("state = jsonb_set(state, '{balance_cents}', '9')", "1 is not the fold of its events"),
        ("state = '[]'", "1 is not the fold of its events"),
        ("pos = 99", "99 is of events that are not there"),
    ],
)
def test_a_snapshot_that_is_not_the_fold(bank: Bank, change: str, told: str) -> None:
    bank.tampered(f"{CHANGE_SNAPSHOTS}{change}", "pos = 1")
    (found,) = bank.command("verify", "--aggregate", OFTEN)["findings"]
    assert found == {"stream": "account-1", "sentence": f"its snapshot at pos {told}"}


def test_who_did_what_when_and_why(bank: Bank) -> None:
    bank.command("seal")
    bank.more(1)
    found = bank.command("history", "account-1")["events"]
    with psycopg.connect(bank.dsn) as tx:
        recorded = load(tx, contracts, "account-1")
    assert [one["id"] for one in found] == [str(one.id) for one in recorded]
    assert [one["sealed"] for one in found] == [True] * 4 + [False]
    assert len({one["hash"] for one in found}) == 5
    first = found[0]
    assert (first["actor"], first["correlation"], first["causation"]) == ("ada", "r1", "m1")
    assert first["data"] == {"customer": "c1", "owner": "Ada"}
    assert found[1]["actor"] is None
    assert "account.opened v1  by ada" in bank.shown("history", "account-1")


def test_the_state_as_of_then(bank: Bank) -> None:
    found = bank.command("at", "account-1", "--aggregate", ACCOUNT, "--version", "2")
    assert found["state"] == {"status": "open", "owner": "Ada", "balance_cents": 700}
    now = bank.command("at", "account-1", "--aggregate", ACCOUNT)
    assert (now["version"], now["state"]["status"]) == (4, "closed")
    merged = bank.command("at", "account-1", "--time", found["at"])
    assert merged["version"] == 2
    assert merged["state"] == {"customer": "c1", "owner": "Ada", "amount_cents": 700}
    before = bank.command("at", "account-1", "--time", "2001-01-01")
    assert (before["version"], before["at"], before["state"]) == (0, None, {})
    assert "before its first event" in bank.shown("at", "account-1", "--time", "2001-01-01")


def test_what_changed_in_the_state(bank: Bank) -> None:
    words = ("account-1", "--from", "1", "--aggregate", ACCOUNT)
    found = bank.command("diff", *words, "--to", "2")
    assert found["changes"] == [
        {"path": "balance_cents", "kind": "changed", "before": 0, "after": 700}
    ]
    assert [one["path"] for one in bank.command("diff", *words)["changes"]] == ["status"]
    assert '  status: "open" -> "closed"' in bank.shown("diff", *words)
    added = bank.command("diff", "account-1", "--from", "2001-01-01", "--to", "1")["changes"]
    assert [(one["kind"], one["path"]) for one in added] == [
        ("added", "customer"),
        ("added", "owner"),
    ]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["history", "account-9"], "TR-EVT-020"),
        (["at", "account-1", "--aggregate", "examples.bank.account:nothing"], "TR-EVT-003"),
        (["at", "account-1", "--version", "1", "--aggregate", f"{__name__}:failing"], "TR-EVT-005"),
        (
            ["at", "account-1", "--version", "1", "--aggregate", f"{__name__}:forgetful"],
            "TR-EVT-005",
        ),
        (["at", "account-1", "--aggregate", "examples.bank.nothing:account"], "TR-EVT-002"),
        (["at", "account-1", "--aggregate", "examples.bank.events:contracts"], "TR-EVT-004"),
        (["at", "account-1", "--aggregate", "nothing"], "TR-EVT-001"),
        (["at", "account-1", "--time", "noon"], "TR-EVT-022"),
        (["at", "account-1", "--time", "2001-01-01", "--version", "1"], "TR-EVT-022"),
        (["at", "other-1", "--aggregate", ACCOUNT], "TR-EVT-025"),
    ],
)
def test_mistakes_are_told(bank: Bank, words: list[str], code: str) -> None:
    bank.more(1, "other-1")
    with pytest.raises(Problem, match=code):
        bank.command(*words)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("DROP SCHEMA eventstore CASCADE", "TR-EVT-023"),
        ("ALTER TABLE eventstore.events RENAME COLUMN at TO since", "TR-EVT-024"),
    ],
)
def test_a_store_that_is_not_there(bank: Bank, broken: str, code: str) -> None:
    with psycopg.connect(bank.dsn) as tx:
        tx.execute(broken.encode())
    with pytest.raises(Problem, match=code):
        bank.command("verify")
