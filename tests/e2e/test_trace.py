"""`tailrace trace` on a real pipeline: what became of single changes, whatever became of them."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from connectors.position import lsn as lsn_text
from tailrace.config import load
from tailrace.harness import topics
from tailrace.harness.cdc import Cdc
from tailrace.harness.waits import eventually
from tailrace.trace import ask
from tailrace.trace.find import find
from tailrace.trace.lines import not_found, timeline

DDL = """
CREATE TABLE orders (id int PRIMARY KEY, note text);
CREATE TABLE lines (order_id int, name text, amount numeric, PRIMARY KEY (order_id, name));
INSERT INTO orders VALUES (1, 'old');
"""
WORKER_STEPS = ["polled", "sifted", "applied", "acknowledged"]


@pytest.fixture
def shop(cdc: Callable[..., Cdc], monkeypatch: pytest.MonkeyPatch) -> Cdc:
    monkeypatch.setattr(ask, "CLOCK_LOOKS", 1)  # a look at the clocks takes a second else
    monkeypatch.setattr(ask, "CLOCK_EVERY_S", 0.0)
    shop = cdc(DDL, ["public.orders", "public.lines"], watch_effects=False, partitions=2)
    shop.register()
    return shop


def traced(shop: Cdc, what: str, **how: Any) -> dict[str, Any]:
    trace = find(load(shop.file), shop.spec, what, **how)
    found: dict[str, Any] = json.loads(msgspec.json.encode(trace))
    return found


def one(shop: Cdc, what: str, **how: Any) -> dict[str, Any]:
    (change,) = traced(shop, what, **how)["changes"]
    assert isinstance(change, dict)
    return change


def text_of(shop: Cdc, what: str) -> str:
    return "\n".join(timeline(find(load(shop.file), shop.spec, what)))


def fate(change: dict[str, Any], delivery: int = 0) -> dict[str, Any]:
    (found,) = change["deliveries"][delivery]["fates"]
    assert isinstance(found, dict)
    return found


def with_times(shop: Cdc, what: str) -> dict[str, Any]:
    """Once the worker has told of the batch."""
    return eventually(
        lambda: change if fate(change := one(shop, what))["moments"] else None, 30, "times"
    )


def test_lives_of_changes(shop: Cdc) -> None:
    """One after the other on one pipeline, since each of them is quick."""
    before_the_worker_ran(shop)
    daemon = shop.start_daemon()
    shop.wait_applied()
    settled_and_looked_for_in_every_way(shop)
    superseded_and_deleted(shop)
    a_duplicate(shop)
    a_parked_one(shop)
    of_a_key_with_two_columns(shop)
    what_is_not_there(shop)
    daemon.stop()
    shop.start_daemon()
    older_than_what_is_remembered(shop)


def before_the_worker_ran(shop: Cdc) -> None:
    shop.sql("INSERT INTO orders VALUES (42, 'private')")
    shop.wait_captured()
    change = one(shop, "42")
    assert (change["op"], change["key"], change["before"]) == ("c", '{"id":42}', None)
    assert fate(change) == {
        "sink": "mirror",
        "state": "not reached",
        "next_offset": 0,
        "moments": [],
        "batch": None,
        "letters": [],
        "why": None,
    }
    assert change["rows"][0]["state"] == "is not there"


def settled_and_looked_for_in_every_way(shop: Cdc) -> None:
    change = with_times(shop, "42")
    assert fate(change)["state"] == "settled"
    assert fate(change)["batch"]["ended"]["written"] >= 1
    assert change["rows"] == [
        {"sink": "mirror", "state": "shows it", "lsn": change["lsn"], "why": None}
    ]
    way = change["deliveries"][0]["moments"] + fate(change)["moments"]
    assert [step["name"] for step in way] == ["committed", "decoded", "appended", *WORKER_STEPS]
    assert all(step["after_s"] >= 0 for step in way[1:])
    assert not any(step["is_skewed"] for step in way)
    event = next(e for e in shop.events("public.orders") if e.key == {"id": 42})
    assert change["lsn"] == event.lsn
    at_lsn = traced(shop, lsn_text(event.lsn))["changes"]  # a snapshot may be as of just there
    assert change["id"] in [each["id"] for each in at_lsn if each["op"] != "r"]
    for what in (change["id"], "id=42", "orders:42", '{"id": 42}'):
        assert one(shop, what)["id"] == change["id"], what
    done = shop.command("trace", "42", "--table", "public.orders", "--since", "1h", "--json")
    assert json.loads(done.stdout)["changes"][0]["id"] == change["id"]
    text = shop.command("trace", "42").stdout
    assert "private" not in text
    assert "insert of public.orders" in text
    assert "the row shows it" in text
    assert one(shop, "42", with_values=True)["after"] == '{"id":42,"note":"private"}'
    snapshot_row = one(shop, "1")
    assert snapshot_row["op"] == "r"
    assert snapshot_row["deliveries"][0]["moments"][0]["name"] == "in the snapshot"
    assert snapshot_row["rows"][0]["state"] == "shows it"


def superseded_and_deleted(shop: Cdc) -> None:
    shop.sql("UPDATE orders SET note = 'newer' WHERE id = 42")
    shop.wait_applied()
    first, second = traced(shop, "42")["changes"]
    assert (first["op"], second["op"]) == ("c", "u")
    assert first["rows"][0]["state"] == "shows a later change"
    assert second["rows"][0] == first["rows"][0] | {"state": "shows it"}
    assert second["rows"][0]["lsn"] == second["lsn"]
    assert one(shop, "42", last=1)["op"] == "u"
    shop.sql("DELETE FROM orders WHERE id = 42")
    shop.wait_applied()
    *_, update, delete = traced(shop, "42")["changes"]
    assert update["rows"][0]["state"] == "deleted by a later change"
    assert delete["rows"][0]["state"] == "deleted by it"


def a_duplicate(shop: Cdc) -> None:
    shop.sql("INSERT INTO orders VALUES (7, 'twice')")
    shop.wait_applied()
    sent = next(e for e in shop.events("public.orders") if e.key == {"id": 7})
    record = next(
        r
        for r in topics.records(shop.brokers, shop.topic("public.orders"))
        if (r.partition, r.offset) == (sent.partition, sent.offset)
    )
    topics.produce(
        shop.brokers, shop.topic("public.orders"), [(record.partition, record.key, record.value)]
    )
    shop.wait_applied()
    change = one(shop, "7")
    first, second = change["deliveries"]
    assert first["repeat_of"] is None
    assert second["repeat_of"] == first["offset"] == sent.offset
    assert change["rows"][0]["state"] == "shows it"

    def ended() -> Any:
        batch = fate(one(shop, "7"), 1)["batch"]
        return batch and batch["ended"]

    assert eventually(ended, 30, "its batch") == {"duplicate": 1}
    assert f"duplicate of offset {sent.offset}" in text_of(shop, "7")


def a_parked_one(shop: Cdc) -> None:
    topic = shop.topic("public.orders")
    topics.produce(shop.brokers, topic, [(1, b'{"id":13}', b"{\x1b[31m not JSON")])
    eventually(shop.parked, 30, "a dead letter")
    change = with_times(shop, "13")
    assert "malformed JSON" in change["unreadable"]
    found = fate(change)
    assert found["state"] == "parked"
    letter = {"number": 0, "reason": change["unreadable"], "outcome": None}
    assert found["letters"] == [letter]
    assert found["batch"]["ended"] == {"parked": 1}
    assert [moment["name"] for moment in found["moments"]] == ["polled", "sifted", "acknowledged"]
    assert "letter 0: malformed JSON" in text_of(shop, "13")
    done = shop.command("parked", "discard", "mirror", "0", "--reason", "a test", "--yes")
    assert done.returncode == 0, done.stderr
    assert fate(one(shop, "13"))["letters"] == [letter | {"outcome": "discarded"}]


def of_a_key_with_two_columns(shop: Cdc) -> None:
    names = ["it's", 'a"b,c\\', "[red]\x1b[31m", "x:y=z\n2"]
    for name in names:
        shop.sql("INSERT INTO lines VALUES (1, %s, 2.50)", name)
    shop.wait_applied()
    for name in names:
        change = one(shop, json.dumps({"name": name, "order_id": 1}))
        assert change["rows"][0]["state"] == "shows it", name
        assert "\x1b" not in text_of(shop, change["id"])
    assert len(traced(shop, 'lines:{"order_id":"1","name":"it\'s"}')["changes"]) == 1


def what_is_not_there(shop: Cdc) -> None:
    done = shop.command("trace", "99")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No change has the key 99. Searched: " in done.stderr
    assert f"{shop.topic('public.orders')}[0] offsets 0 to" in done.stderr
    commit = shop.sql("INSERT INTO orders VALUES (99, 'here')")
    shop.wait_applied()
    done = shop.command("trace", lsn_text(commit))
    assert done.returncode == 1
    assert "The changes nearest to it are at " in done.stderr
    assert "it is not that far yet" in traced(shop, "FFFFFFFF/0")["hint"]
    for what in ("'; DROP TABLE orders; --", "%s", "\x1b[2J", "0/", "ü" * 500, "id=", "[bold]"):
        found = find(load(shop.file), shop.spec, what)
        assert found.changes == ()
        assert "\x1b" not in not_found(found)
    assert "TR-TRC-001" in shop.command("trace", '{"id":' * 500).stderr
    assert "TR-LAG-001" in shop.command("trace", "1", "--since", "soon").stderr


def older_than_what_is_remembered(shop: Cdc) -> None:
    shop.wait_applied()

    def answered() -> Any:
        found = fate(one(shop, "7"))
        return found if "no worker answers" not in (found["why"] or "") else None

    found = eventually(answered, 30, "workers that answer")
    assert found["state"] == "settled"
    assert found["moments"] == []
    assert "no worker remembers its batch" in found["why"]
