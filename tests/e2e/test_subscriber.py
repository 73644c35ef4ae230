"""The example of docs/outbox.md, run: each event takes effect once, whatever fails."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import kafka
import psycopg
import pytest
import redis
import yaml
from click.testing import CliRunner

from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.cdc import Cdc
from tailrace.harness.running import Running
from tailrace.harness.topics import records
from tailrace.killpoint import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
DDL = "CREATE TABLE public.booking (id text PRIMARY KEY, room text)"
TARGET = "CREATE TABLE invoice (n bigserial PRIMARY KEY, booking text, guest text, amount numeric)"
BILLING = "billing"
BUG = """
@billing.on(RoomHeld)
def bill(tx, received):
    tx.execute("INSERT INTO invoice (booking) VALUES ('bug')")
    tx.commit()
"""


class Hotel:
    """The hotel's side of the example, and billing's books."""

    def __init__(self, pipe: Cdc, modules: Path, service: Any) -> None:
        self.pipe = pipe
        self.modules = modules
        self._service = service
        self.expected: list[tuple[str, str]] = []

    def hold(self, guests: int, bookings: int = 7) -> None:
        """One transaction each: a row, and an event of one of some bookings."""
        with psycopg.connect(self.pipe.source_dsn, autocommit=True) as connection:
            for _ in range(guests):
                number = len(self.expected)
                self.hold_one(connection, f"b-{number % bookings}", f"g-{number}")

    def hold_one(self, connection: Any, booking: str, guest: str, price: str = "9.90") -> None:
        held = self._service.RoomHeld(room="r", guest=guest, price=price)
        with connection.transaction():
            connection.execute("DELETE FROM booking WHERE id = %s", [booking])
            self._service.hold(connection, booking, held)
        self.expected.append((booking, guest))

    def billed(self) -> list[tuple[str, str]]:
        rows = self.pipe.sink.query("SELECT booking, guest FROM invoice ORDER BY n")
        return [(str(booking), str(guest)) for booking, guest in rows]

    def start(self, **environment: str) -> Running:
        path = {"PYTHONPATH": str(self.modules), **environment}
        return self.pipe.start("--sink", BILLING, "--instance", "one", **path)

    def wait_billed(self, within_s: float = 60) -> None:
        """Each once, and those of a booking in their order."""

        def all_of_them() -> bool:
            billed = self.billed()
            assert sorted(billed) == sorted(self.expected), (len(billed), len(self.expected))
            return True

        self.pipe.eventually(all_of_them, within_s, "every event billed")
        by_booking = sorted(self.billed(), key=lambda each: each[0])
        assert by_booking == sorted(self.expected, key=lambda each: each[0])

    def ran(self, *words: str, code: int = 0) -> tuple[str, str]:
        """`tailrace WORDS` in this process, which spares seconds a call: data and talk."""
        done = CliRunner(mix_stderr=False).invoke(app, [*words, "--config", str(self.pipe.file)])
        ended = done.exception if isinstance(done.exception, Problem) else None
        talk = str(ended) if ended else done.stderr
        assert (ended or done).exit_code == code, (words, talk, done.exc_info)
        return done.stdout, talk

    def said(self, *words: str) -> Any:
        return json.loads(self.ran(*words, "--json")[0])


@pytest.fixture
def hotel(cdc: Callable[..., Cdc], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hotel:
    text = (ROOT / "docs/outbox.md").read_text()
    blocks = dict(re.findall(r"`(\w+)\.py`.*?```python\n(.*?)```", text, re.S))
    modules = tmp_path / "modules"
    modules.mkdir()
    for name, code in blocks.items():
        (modules / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(modules)
    import hotel_service  # type: ignore[import-not-found]

    pipe = cdc(DDL, ["public.booking", "eventstore.outbox"], target_ddl=TARGET, partitions=2)
    described = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.S)[0])["sinks"][BILLING]
    said = yaml.safe_load(pipe.file.read_text())
    said["sinks"][BILLING] = described | {"dsn": pipe.target_dsn}
    pipe.file.write_text(yaml.safe_dump(said))
    made = Hotel(pipe, modules, hotel_service)
    made.ran("events", "create")
    made.ran("schema", "apply")
    pipe.register()
    return made


def test_once_in_effect_whatever_fails(hotel: Hotel) -> None:
    worker = killed_at_each_step(hotel)
    repeated_by_everyone(hotel, worker)
    worker = hotel.start()
    put_aside(hotel)
    the_commands_cope(hotel, worker)
    redriven(hotel)
    worker.stop()
    a_bug_loses_nothing(hotel)


def killed_at_each_step(hotel: Hotel) -> Running:
    hotel.hold(20)
    for step in ("polled", "advanced", "before commit", "after commit", "acknowledged"):
        worker = hotel.start(**{VARIABLE: f"{step}:1"})
        hotel.hold(7)
        worker.wait_killed()
    worker = hotel.start()
    hotel.hold(20)
    hotel.wait_billed()
    return worker


def repeated_by_everyone(hotel: Hotel, worker: Running) -> None:
    """Kafka has everything twice, Redis nothing, and the sink begins at 0 again."""
    pipe = hotel.pipe
    worker.kill()
    topic = f"{pipe.name}.events"
    producer = kafka.KafkaProducer(**pipe.brokers.client())
    for each in records(pipe.brokers, topic):
        producer.send(
            topic, key=each.key, value=each.value, headers=each.headers, partition=each.partition
        )
    producer.close()
    redis.Redis.from_url(pipe.pipeline.redis.url).flushall()
    pipe.sink.sql("UPDATE tailrace.offsets SET next_offset = 0 WHERE topic LIKE '%.events'")
    worker = hotel.start()
    pipe.restart_connector()
    hotel.hold(5)
    hotel.wait_billed()
    assert len(records(pipe.brokers, topic)) >= 2 * len(hotel.expected) - 5
    worker.kill()


def put_aside(hotel: Hotel) -> None:
    pipe = hotel.pipe
    good = {
        "ce_specversion": b"1.0", "ce_source": b"hotel", "ce_type": b"hotel.room.held",
        "ce_dataschema": b"urn:tailrace:hotel.room.held:1", "ce_subject": b"b-0",
    }  # fmt: skip
    bad: list[tuple[bytes, dict[str, bytes]]] = [
        (b"no event", {}),
        (b'{"room": "r", "price": "1"}', good),
        (b'{"room": "r", "guest": "g", "price": "1"}', good | {"ce_dataschema": b"urn:x:9"}),
        (b"{}", good | {"ce_type": b"hotel.room.painted"}),
    ]
    producer = kafka.KafkaProducer(**pipe.brokers.client())
    for value, headers in bad:
        fresh = {**headers, "ce_id": str(uuid4()).encode()}
        producer.send(f"{pipe.name}.events", key=b"b-0", value=value, headers=[*fresh.items()])
    producer.close()
    with psycopg.connect(pipe.source_dsn, autocommit=True) as connection:
        hotel.hold_one(connection, "b-0", "free of charge", price="0")
        hotel.expected.pop()
    hotel.hold(5)
    hotel.wait_billed()

    def letters() -> list[Any]:
        found: list[Any] = hotel.said("parked", "list", "--sink", BILLING)["sinks"][0]["letters"]
        assert len(found) == 4, found
        return found

    found = pipe.eventually(letters)
    reasons = {each["reason"] for each in found}
    assert reasons == {
        "it has no header ce_specversion, which every CloudEvent has",
        "hotel.room.held is not valid: guest: Field required",
        "hotel.room.held has version 9, and this code knows 1 to 1: update this consumer before"
        " the producer",
        "billing refuses it: a room has a price above zero",
    }
    assert {each["table"] for each in found} == {None, "hotel.room.held"}


def the_commands_cope(hotel: Hotel, worker: Running) -> None:
    def level() -> bool:  # the source may not have sent a heartbeat yet
        lag = [each for each in hotel.said("lag")["sinks"] if each["sink"] == BILLING]
        assert {each["topic"] for each in lag} == {f"{hotel.pipe.name}.events"}
        assert [each["behind_records"] for each in lag] == [0, 0]
        return True

    hotel.pipe.eventually(level)
    data, talk = hotel.ran("verify", "--sink", BILLING)
    assert data == ""
    assert "nothing to compare" in talk
    lines = json.loads(hotel.ran("doctor", "--json", code=3)[0])["checks"]
    mine = {each["check"]: each["state"] for each in lines if each["group"] == f"sink {BILLING}"}
    assert mine == dict.fromkeys(mine, "ok")
    assert {"rights", "schema", "offsets"} <= set(mine)
    assert worker.is_alive


def redriven(hotel: Hotel) -> None:
    """What became right meanwhile is handled; what did not stays, with its reason."""
    hotel.ran("parked", "discard", BILLING, "0", "--yes", "--reason", "no event")
    fates = hotel.ran("parked", "redrive", BILLING, "--all", "--yes", "--json", code=1)[0]
    assert [each["outcome"] for each in json.loads(fates)["fates"]] == ["refused"] * 3
    service = hotel.modules / "billing_service.py"
    right = service.read_text()
    service.write_text(right.replace("event.price <= 0", "event.price < 0"))
    del sys.modules["billing_service"]
    done = hotel.ran("parked", "redrive", BILLING, "--all", "--yes", "--json", code=1)[0]
    outcomes = sorted(each["outcome"] for each in json.loads(done)["fates"])
    assert outcomes == ["refused", "refused", "written"]
    hotel.expected.append(("b-0", "free of charge"))
    hotel.wait_billed()
    service.write_text(right)


def a_bug_loses_nothing(hotel: Hotel) -> None:
    service = hotel.modules / "billing_service.py"
    right = service.read_text()
    service.write_text(right[: right.index("@billing.on")] + BUG)
    hotel.hold(3)
    worker = hotel.start(TAILRACE__HEALTH__PORT=str(hotel.pipe.pipeline.health.port))
    words = [sys.executable, "-m", "tailrace", "top", "--json", "--config", str(hotel.pipe.file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as top:
        assert top.stdout is not None
        looks = (json.loads(line) for line in islice(top.stdout, 60))
        verdicts = (
            sink["verdict"] for look in looks for sink in look["sinks"] if sink["name"] == BILLING
        )
        found = next(each for each in verdicts if each["state"] == "BLOCKED")
        top.terminate()
    assert "the handler of hotel.room.held in billing fails" in found["reason"]
    assert "ProgrammingError in billing_service.py line 11" in found["reason"]
    assert ("bug",) not in hotel.pipe.sink.query("SELECT booking FROM invoice")
    worker.stop()
    service.write_text(right)
    hotel.start()
    hotel.wait_billed()
