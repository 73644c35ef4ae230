"""A tour of five services, in both styles, on real servers: through refusals, cancels and kills."""

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any, LiteralString
from uuid import UUID, uuid4

import kafka
import kafka.admin
import msgspec
import psycopg
import pytest
from click.testing import CliRunner

from devstack.stack import AnyStack
from examples.tour.booking import office
from examples.tour.load import requests
from sagas import operate
from sagas.protocol import Style
from tailrace.cli import app
from tailrace.config import Kafka as Brokers
from tailrace.harness.topics import events
from tailrace.harness.waits import PAUSE, eventually
from tailrace.log_topic import compare
from tailrace.tour import SERVICES, Tour
from tailrace.tour_proof import prove
from tests.tour_people import OPERATORS, Operators

STYLES: tuple[Style, ...] = ("orchestrated", "choreographed")
WITHIN_S = 90
TAMPERS: dict[str, LiteralString] = {
    "changed": "UPDATE sagas.log SET reason = 'nobody asked' WHERE seq = 4",
    "taken away": "DELETE FROM sagas.log WHERE seq = 4",
    "end": "DELETE FROM sagas.log WHERE seq = (SELECT max(seq) FROM sagas.log)",
}


@pytest.fixture(scope="module")
def tour(stack: AnyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    folder = tmp_path_factory.mktemp("tour")
    prefix = f"e2e{uuid4().hex[:6]}_"
    made = Tour(stack.up(), folder, lambda *_: None, prefix=prefix, publishes_logs=True)
    made.prepare()
    for name in SERVICES:
        made.start(name)
    yield made
    made.close()


def wait_over(tour: Tour) -> None:
    eventually(lambda: tour.live() == 0, WITHIN_S, f"no saga under way; logs in {tour.folder}")


def statuses(tour: Tour, ids: list[UUID]) -> dict[str, int]:
    with tour.connect("tours") as connection:
        rows = connection.execute(
            "SELECT status, count(*) FROM sagas.saga WHERE id = ANY (%s) GROUP BY 1", [ids]
        )
        return dict(rows.fetchall())


@pytest.mark.parametrize("style", STYLES)
def test_all_of_it_or_nothing(tour: Tour, style: Style) -> None:
    ids = tour.begin(60, style, requests(seed=7 + STYLES.index(style), refused_share=0.5))
    wait_over(tour)
    ended = statuses(tour, ids)
    assert ended["COMPLETED"] > 20, ended
    assert ended["COMPENSATED"] > 10, ended
    assert prove(tour) == []


def test_both_styles_come_to_the_same(tour: Tour) -> None:
    """Invariant 17: what is refused depends on the request alone here, so all else must, too."""
    ended, booked = [], []
    for style in STYLES:
        asked = ((uuid4(), request) for _, request in requests(seed=11, refused_share=0.6))
        ids = tour.begin(30, style, asked)
        wait_over(tour)
        ended.append([rows(tour, "tours", "status FROM sagas.saga WHERE id", i)[0][0] for i in ids])
        booked.append([bookings(tour, id_) for id_ in ids])
    assert ended[0] == ended[1]
    assert {"COMPLETED", "COMPENSATED"} == set(ended[0])
    assert booked[0] == booked[1]
    assert sum(map(bool, booked[0])) == ended[0].count("COMPLETED")


def bookings(tour: Tour, id_: UUID) -> list[tuple[object, ...]]:
    """All that stands of a tour, in any of the services."""
    held = "name, units, price_cents FROM booking WHERE state = 'held' AND tour"
    return [
        *(row for name in ("flight", "hotel", "car") for row in rows(tour, name, held, id_)),
        *rows(tour, "payment", "customer, amount_cents FROM payment WHERE tour", id_),
        *rows(tour, "tickets", "1 FROM ticket WHERE tour", id_),
    ]


def rows(tour: Tour, name: str, what: str, id_: UUID) -> list[tuple[object, ...]]:
    with tour.connect(name) as connection:
        return connection.execute(f"SELECT {what} = %s".encode(), [id_]).fetchall()


def test_two_operators_are_as_one(tour: Tour) -> None:
    """Invariant 18: both cancel the same tours at the same moment."""
    both, asked = Operators(tour), requests(seed=19, refused_share=0.0)
    for style in STYLES:
        for _ in range(10):
            both.cancel_some(tour.begin(1, style, asked), Random(1))
    wait_over(tour)
    assert list(both.wrong()) == []
    with tour.connect("tours") as connection:
        acts = connection.execute(
            "SELECT count(*) FROM sagas.log WHERE actor = ANY (%s)", [list(OPERATORS)]
        ).fetchone()
    assert acts is not None
    assert acts[0] > 5
    assert prove(tour) == []


@pytest.mark.parametrize("style", STYLES)
def test_cancelled_on_the_way(tour: Tour, style: Style) -> None:
    """Wherever each of them is by then: undone as a whole, or too late and booked as a whole."""
    asked = requests(seed=23 + STYLES.index(style), refused_share=0.0)
    ids: list[UUID] = []
    with psycopg.connect(tour.services["tours"].dsn) as connection:
        for nth in range(30):
            (id_,) = tour.begin(1, style, asked)
            PAUSE.wait(nth / 100)
            with suppress(operate.CannotDo), connection.transaction():
                operate.give_up(connection, office, id_, "alice", "the customer called")
            ids.append(id_)
    wait_over(tour)
    ended = statuses(tour, ids)
    assert ended["COMPENSATED"] > 0, ended
    assert sum(ended.values()) == 30, ended
    assert prove(tour) == []


@pytest.mark.parametrize("style", STYLES)
def test_services_die_in_the_middle(tour: Tour, style: Style) -> None:
    asked = requests(seed=31 + STYLES.index(style), refused_share=0.3)
    for name in SERVICES[STYLES.index(style) :: 2]:  # each service in one of the styles
        tour.begin(8, style, asked)
        victim = next(p for p in tour.running if tour.named[p.pid] == name and p.poll() is None)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        tour.start(name)
    wait_over(tour)
    assert prove(tour) == []


def test_the_log_is_final_and_its_chain_is_checked(tour: Tour) -> None:
    from sagas import log

    tour.begin(3, "orchestrated", requests(seed=41))
    wait_over(tour)
    with tour.connect("tours") as connection:
        for statement in (
            "UPDATE sagas.log SET reason = ''",
            "DELETE FROM sagas.log",
            "TRUNCATE sagas.log",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(statement)
    for tamper in (
        "UPDATE sagas.log SET reason = 'nobody asked' WHERE seq = 4",
        "DELETE FROM sagas.log WHERE seq = 4",
        "UPDATE sagas.log SET seq = CASE seq WHEN 4 THEN -5 ELSE -4 END WHERE seq IN (4, 5);"
        "UPDATE sagas.log SET seq = -seq WHERE seq < 0",
    ):
        assert broken_by(tour, tamper), tamper
    with tour.connect("tours") as connection:
        assert list(log.verify(connection)) == []


def broken_by(tour: Tour, tamper: str) -> list[object]:
    """What `verify` finds after a superuser has done that; then it is rolled back."""
    from sagas import log

    with psycopg.connect(tour.services["tours"].dsn) as connection:
        connection.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        connection.execute(tamper.encode())
        found: list[object] = list(log.verify(connection))
        connection.rollback()
    return found


def test_each_log_is_published_and_kept_for_ever(tour: Tour) -> None:
    tour.begin(5, "choreographed", requests(seed=43, refused_share=0.5))
    wait_over(tour)
    for name, service in tour.services.items():
        said = verified(tour, name)
        assert said == {
            "ok": True,
            "lines": said["lines"],
            "breaks": [],
            "topic": {"begins_at_line": 1, "behind_lines": 0},
        }
        topic = f"{service.pipeline.name}.sagas.log"
        published = {each.after["seq"] for each in events(service.pipeline.kafka, topic)}  # type: ignore[index]
        with tour.connect(name) as connection:
            written = connection.execute("SELECT seq FROM sagas.log").fetchall()
        assert written, name
        assert published == {seq for (seq,) in written}
        assert kept_for(service.pipeline.kafka, topic) == ("-1", "-1", "delete")
    assert kept_for(service.pipeline.kafka, f"{service.pipeline.name}.events")[0] != "-1"


@pytest.mark.parametrize("tamper", TAMPERS)
def test_a_chain_that_was_made_anew_is_not_what_was_published(tour: Tour, tamper: str) -> None:
    """Each leaves a chain that holds, so that only the topic can tell."""
    from sagas import log

    with psycopg.connect(tour.services["tours"].dsn) as connection:
        kept = list(log.rows(connection))
        connection.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        connection.execute(TAMPERS[tamper])
        rewrite(connection)
        assert list(log.verify(connection)) == []
        told = compare(tour.services["tours"].pipeline, connection, lambda *_: None)
        connection.rollback()
    broken = [each.seq for each in told.breaks]
    assert broken == list(range(len(kept) if tamper == "end" else 4, len(kept) + 1))


def test_a_log_that_was_changed_and_changed_back_tells_so(tour: Tour) -> None:
    """What was rewritten travels as every change does."""
    with tour.connect("tickets") as connection:
        row = connection.execute("SELECT reason FROM sagas.log WHERE seq = 2").fetchone()
        assert row is not None
        connection.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        for reason in ("nobody asked", row[0]):
            connection.execute("UPDATE sagas.log SET reason = %s WHERE seq = 2", [reason])
        connection.execute("ALTER TABLE sagas.log ENABLE ALWAYS TRIGGER log_is_final")
    tour.begin(1, "orchestrated", requests(seed=47, refused_share=0.0))
    wait_over(tour)  # its line of the log comes after those
    breaks = verified(tour, "tickets", code=1)["breaks"]
    assert {each["seq"] for each in breaks} == {2}
    assert any("rewritten: the topic has its 'u'" in each["sentence"] for each in breaks)


def verified(tour: Tour, name: str, code: int = 0) -> Any:
    """What `supervise log verify --topic` says of a service."""
    words = ["supervise", "log", "verify", "--topic", "--json"]
    words += ["--config", str(tour.services[name].file)]
    done = CliRunner(mix_stderr=False).invoke(app, words)
    assert done.exit_code == code, (done.stdout, done.stderr, done.exc_info)
    return json.loads(done.stdout)


def kept_for(brokers: Brokers, topic: str) -> tuple[str, ...]:
    """Retention in ms and in bytes, and what becomes of old records."""
    admin = kafka.KafkaAdminClient(**brokers.client())
    try:
        asked = [kafka.admin.ConfigResource("topic", topic)]
        (there,) = admin.describe_configs(asked, config_filter="all")["topic"].values()
    finally:
        admin.close()
    wanted = ("retention.ms", "retention.bytes", "cleanup.policy")
    return tuple(there[name]["value"] for name in wanted)


def rewrite(connection: psycopg.Connection[Any]) -> None:
    """The whole log, with hashes that are right again."""
    from sagas import log

    rows = list(log.rows(connection))
    connection.execute("DELETE FROM sagas.log")
    before = b""
    for nth, row in enumerate(rows, 1):
        entry = log.Entry(*msgspec.structs.astuple(row)[1:7])
        before = log.link(before, nth, entry, row.at)
        connection.execute(
            "INSERT INTO sagas.log VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [nth, *msgspec.structs.astuple(entry), row.at, before],
        )
