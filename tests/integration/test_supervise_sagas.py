"""Sagas on the ladder: what a sweep proposes and does, on whose word, and what costs a rung."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import yaml

from devstack import Endpoints
from examples.tour.booking import BookTour
from sagas import log
from sagas.protocol import Reply, TimedOut
from supervision import proposals, waiting
from supervision.waiting import Waiting, Walk
from tailrace import saga_sweeps
from tailrace.config import load
from tailrace.decisions import Desk as Decisions
from tailrace.harness.databases import Databases
from tailrace.harness.waits import eventually
from tailrace.swept import Swept
from tests.integration.test_supervise import Desk
from tests.parking import Tours

HOTEL, FLIGHT = "saga:book-tour/hotel", "saga:book-tour/flight"
AT = BookTour.plan.index


class Office(Desk, Tours):
    """A pipeline with sagas whose participants answer as the test says."""

    def __init__(self, dsn: str, folder: Path) -> None:
        Desk.__init__(self, dsn, folder)
        Tours.__init__(self, dsn)
        self.make_tables()
        file = yaml.safe_load(self.file.read_text())
        file["source"]["password_reference"] = "${file:/etc/connect/tours.properties:password}"
        self.file.write_text(yaml.safe_dump(file))
        self.pipeline = load(self.file, env={})

    def sweep(self, later_s: float = 0.0) -> dict[str, Swept]:
        now = datetime.now(UTC) + timedelta(seconds=later_s)
        found = {one.subject: one for one in saga_sweeps.sweep(self.pipeline, now)}
        assert [one.problem for one in found.values() if one.rung and one.problem] == []
        return found

    def put(self, rung: str, subject: str = HOTEL) -> None:
        """On a rung whatever the evidence."""
        with psycopg.connect(self.dsn) as tx:
            proposals.create_schema(tx)
            proposals.standing(tx, subject)
            asked = [rung, subject]
            tx.execute("UPDATE supervision.rungs SET rung = %s WHERE subject = %s", asked)

    def rung(self, subject: str = HOTEL) -> str:
        return str(self.said("rung", subject)[0]["rung"])

    def status(self, saga: UUID) -> str:
        return str(self.said("show", str(saga))["saga"]["status"])

    def lines(self, subject: str) -> list[log.Row]:
        with psycopg.connect(self.dsn) as tx:
            assert list(log.verify(tx)) == []
            return list(log.rows(tx, subject))

    def kinds(self, subject: str = HOTEL) -> list[str]:
        return [line.kind for line in self.lines(subject)]


@pytest.fixture
def desk(new_database: Databases, endpoints: Endpoints, tmp_path: Path) -> Office:
    return Office(new_database(), tmp_path)


def test_at_manual_it_is_listed_once_its_participant_answers_again(desk: Office) -> None:
    (saga,) = desk.parked()
    assert desk.sweep()[HOTEL].listed == []
    desk.comes_back("flight")
    raised = Reply(AT["hotel"], "FAILED")
    desk.hears(desk.begins()[0], raised, actor="participant hotel")  # which is no answer
    assert desk.sweep()[HOTEL].listed == []
    desk.comes_back()
    swept = desk.said("sweep")[0]
    (finding,) = swept["listed"]
    assert (swept["differing"], swept["proposed"]) == (1, 0)
    assert (finding["saga"], finding["step"], finding["act"]) == (str(saga), "hotel", "resume")
    assert desk.said("proposals") == []
    assert desk.kinds() == []
    assert "1 sagas parked" in desk.run("sweep")[0]


def test_what_is_proposed(desk: Office) -> None:
    """Resumed after a while without any answer; undone once its deadline has passed."""
    desk.put("shadow")
    (saga,) = desk.parked()
    deadline_s = BookTour.plan.deadline_s
    with psycopg.connect(desk.dsn) as tx:
        far = "UPDATE sagas.saga SET deadline_at = deadline_at + %s"
        tx.execute(far, [timedelta(seconds=900)])
    assert desk.sweep(590)[HOTEL].proposed == 0
    assert desk.sweep(610)[HOTEL].proposed == 1
    assert [one["finding"]["act"] for one in desk.said("proposals")] == ["resume"]
    assert [desk.sweep(deadline_s + 910)[HOTEL].proposed for _ in range(2)] == [1, 0]
    (one,) = desk.said("proposals")
    assert one["finding"]["act"] == "compensate"
    assert "deadline has passed" in desk.run("proposals")[0]
    assert desk.status(saga) == "PARKED"


def test_at_shadow_what_the_operator_does_is_the_judgement(desk: Office) -> None:
    desk.put("shadow")
    *right, other = desk.parked(6)
    desk.comes_back()
    assert desk.sweep()[HOTEL].proposed == 6
    for saga in right:
        desk.run("resume", str(saga), "--reason", "the hotel is back")
    desk.sweep()
    standing = desk.said("rung", HOTEL)[0]
    assert (standing["evidence"]["right"], standing["lacking"]) == (5, None)
    judged = [line for line in desk.lines(HOTEL) if line.kind == "judged right"]
    assert "the hotel is back" in judged[0].reason
    assert judged[0].actor != proposals.ITSELF
    desk.run("compensate", str(other), "--reason", "the customer called")
    desk.sweep()
    assert desk.rung() == "manual"
    assert desk.kinds()[-3:] == ["judged wrong", "rung", "overtaken"]
    assert desk.said("proposals") == []


def test_approved_and_climbing(desk: Office) -> None:
    desk.put("approve")
    sagas = desk.parked(5)
    desk.comes_back()
    desk.sweep()
    ids = [f"work/{one['id']}" for one in desk.said("proposals")]
    assert len(ids) == 5
    assert {desk.status(saga) for saga in sagas} == {"PARKED"}
    for id_ in ids:
        assert desk.said("approve", id_, "--reason", "yes")["state"] == "done"
    assert {desk.status(saga) for saga in sagas} == {"RUNNING"}
    assert "is done already" in desk.run("approve", ids[0], "--reason", "again")[1]
    own = desk.lines(str(sagas[0]))[-1]
    assert (own.kind, own.reason) == ("resumed", "yes")
    assert desk.kinds() == ["proposed"] * 5 + ["resume"] * 5
    up = ("rung", HOTEL, "automatic", "--reason", "it works")
    assert "no green fault-injection run" in desk.run(*up, code=1)[1]
    desk.run("evidence", "add", HOTEL, "--reason", "the long chaos run was green")
    desk.run(*up)
    assert desk.rung() == "automatic"


def test_approved_by_two_at_once_it_is_done_once(desk: Office) -> None:
    """Both are past their first look, and wait for the saga's row, when the gate opens."""
    desk.put("approve")
    (saga,) = desk.parked()
    desk.comes_back()
    desk.sweep()
    (id_,) = [f"work/{one['id']}" for one in desk.said("proposals")]
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND application_name = 'tailrace'"
    )
    with psycopg.connect(desk.dsn) as gate, ThreadPoolExecutor(2) as pool:
        gate.execute("SELECT FROM sagas.saga FOR UPDATE")
        clicks = [
            pool.submit(Decisions(desk.pipeline, name, "a click").approve, id_)
            for name in ("ada", "bob")
        ]
        with psycopg.connect(desk.dsn, autocommit=True) as see:
            eventually(lambda: len(see.execute(waiting).fetchall()) == 2, 30, "both are at it")
        gate.rollback()
        assert sorted(each.result()[1] for each in clicks) == ["decided", "mended"]
    assert desk.kinds() == ["proposed", "resume"]
    assert [line.kind for line in desk.lines(str(saga))].count("resumed") == 1
    with psycopg.connect(desk.dsn) as tx:
        sent = "SELECT count(*) FROM eventstore.outbox WHERE aggregateid = %s AND aggregatetype"
        again = tx.execute(f"{sent} LIKE '%%/hotel/hotel.reserve/do'".encode(), [str(saga)])
        assert again.fetchone() == (BookTour.plan.steps[AT["hotel"]].tries + 1,)


def test_automatic_and_parked_again(desk: Office) -> None:
    """It is done in the sweep; the same step parked again has failed, and costs a rung."""
    desk.put("automatic")
    (saga,) = desk.parked()
    desk.comes_back()
    swept = desk.sweep()[HOTEL]
    assert (swept.proposed, swept.mended, swept.rung) == (1, 1, "automatic")
    own = desk.lines(str(saga))[-1]
    assert (own.kind, own.actor) == ("resumed", proposals.ITSELF)
    assert "was not answered after all its tries" in own.reason
    before, last = [line for line in desk.lines(HOTEL) if line.kind != "rung"][-2:]
    assert (before.kind, last.kind, last.actor) == ("proposed", "resume", proposals.ITSELF)
    assert last.seq < own.seq
    assert json.loads(last.body)["before"] == "PARKED"
    desk.park(saga)
    swept = desk.sweep()[HOTEL]
    assert (swept.failed, swept.rung) == (1, "approve")
    assert desk.kinds()[-2:] == ["failed", "rung"]
    desk.comes_back()
    assert desk.sweep()[HOTEL].proposed == 1
    assert desk.status(saga) == "PARKED"


def test_an_undo_that_parks_costs_the_rung_of_who_began_it(desk: Office) -> None:
    desk.put("automatic")
    (saga,) = desk.begins()
    desk.hears(saga, Reply(AT["flight"], "DONE"), actor="participant flight")
    desk.park(saga)
    desk.sweep(BookTour.plan.deadline_s + 1)
    assert desk.status(saga) == "COMPENSATING"
    undo_tries = BookTour.plan.steps[AT["flight"]].undo_tries
    said = [TimedOut(AT["flight"], number) for number in range(1, undo_tries + 1)]
    assert desk.hears(saga, *said) == "COMPENSATION_PARKED"
    found = desk.sweep()
    assert (found[HOTEL].failed, found[FLIGHT].differing) == (1, 1)
    assert desk.rung() == "approve"
    desk.comes_back("flight")
    (finding,) = desk.sweep()[FLIGHT].listed
    assert finding.deed == "resume"


def test_a_saga_that_has_moved_is_not_touched(desk: Office) -> None:
    desk.put("approve")
    (saga,) = desk.parked()
    desk.comes_back()
    desk.sweep()
    (one,) = desk.said("proposals")
    desk.hears(saga, Reply(AT["flight"], "DONE"), actor="participant flight")
    done = desk.said("approve", f"work/{one['id']}", "--reason", "yes", code=1)
    assert done["state"] == "overtaken"
    assert desk.status(saga) == "PARKED"
    assert desk.sweep()[HOTEL].proposed == 1
    (one,) = desk.said("proposals")
    assert desk.said("reject", f"work/{one['id']}", "--reason", "not yet")["state"] == "rejected"
    assert desk.sweep()[HOTEL].proposed == 0


def test_overdue_means_that_no_timers_run(desk: Office) -> None:
    desk.begins(2)
    assert desk.sweep() == {}
    found = desk.sweep(BookTour.plan.deadline_s + 100)
    assert "2 saga(s) of type book-tour are overdue" in (found["saga:book-tour"].problem or "")
    assert "no orchestrator's timers run" in (found["saga:book-tour"].problem or "")


def test_what_waits_is_counted_and_the_log_is_walked_round_and_round(desk: Office) -> None:
    walk = Walk()
    with psycopg.connect(desk.dsn, autocommit=True) as tx:
        assert waiting.look(tx, walk) == Waiting(parked=0, overdue=0, proposals=None, breaks=0)
        desk.put("approve")
        first, _ = desk.parked(2)
        desk.comes_back()
        desk.sweep()
        assert waiting.look(tx, walk) == Waiting(parked=2, overdue=0, proposals=2, breaks=0)
        tx.execute(
            "UPDATE sagas.saga SET next_at = now() - interval '1 hour' WHERE next_at > now()"
        )
        assert waiting.look(tx, walk).overdue == 1
        desk.begins(waiting.PAGE_ROWS)
        tx.execute("ALTER TABLE sagas.log DISABLE TRIGGER log_is_final")
        tx.execute("UPDATE sagas.log SET actor = 'eve' WHERE seq = 2")
        tx.execute("DELETE FROM sagas.log WHERE seq = 205")
        found = [waiting.look(tx, walk).breaks for _ in range(3)]
        assert found == [1, 2, 2]
        assert desk.status(first) == "PARKED"


def test_who_may_not_read_the_tables_is_told_nothing(desk: Office) -> None:
    with psycopg.connect(desk.dsn, autocommit=True) as tx:
        tx.execute("SET ROLE pg_monitor")
        assert waiting.look(tx, Walk()) == Waiting()
