"""Participants, orchestrator and timers on a real Postgres; messages go from outbox to inbox."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from consumer.errors import Refused as NotStarted
from consumer.errors import Rejected
from eventstore.contracts import Contracts, Event
from eventstore.subscriber import Subscriber
from sagas import log, operate, protocol, seen, timers
from sagas.declared import Action, Course, Pivot, Saga, Step
from sagas.operate import CannotDo
from sagas.orchestrator import Orchestrator, start
from sagas.participant import Participant, Refused
from sagas.plan import PlanError
from tailrace.harness.databases import Databases
from tests.post import Post, prepare

shop = Contracts("shop")


@shop.event("shop.asked")
class Asked(Event):
    item: str


@shop.event("shop.take")
class Take(Event):
    item: str


@shop.event("shop.taken")
class Taken(Event):
    item: str


@shop.event("shop.gone")
class Gone(Event):
    item: str


take = Action("store.take", shop, takes=Take, gives=Taken, refuses=(Gone,))
pay = Action("bank.pay", shop, takes=Take, gives=Taken, refuses=(Gone,), is_final=True)
send = Action("mail.send", shop, takes=Take, gives=Taken, is_final=True)


def _take(course: Course[Asked]) -> Take:
    if course.request.item == "unnamed":
        raise LookupError(course.request.item)
    return Take(item=course.request.item)


class Buy(Saga, name="buy", request=Asked, contracts=shop, deadline_s=60):
    first = Step(take, _take, tries=2, undo_tries=2)
    second = Step(take, _take, after=[first], tries=2, undo_tries=2)
    paid = Pivot(pay, _take, after=[second], tries=2)
    sent = Step(send, _take, after=[paid], tries=2)


class World:
    """One database for all; `fails` and `refuses` say what goes wrong at which action."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.fails: set[str] = set()
        self.refuses: set[str] = set()
        self.office = Orchestrator("shop", Buy)
        store, bank, mail = Participant("store"), Participant("bank"), Participant("mail")
        for service, action in ((store, take), (bank, pay), (mail, send)):
            service.does(action)(self._does(action))
            service.joins(Buy)
        store.undoes(take)(self._undoes)
        services: list[Subscriber] = [self.office, store, bank, mail]
        self.post = Post(dsn, services)
        with psycopg.connect(dsn) as connection:
            prepare(connection, *services)
            connection.execute("CREATE TABLE effect (n bigserial, action text, item text)")

    def _does(self, action: Action) -> Any:
        def do(tx: psycopg.Connection[Any], command: Take) -> Event:
            tx.execute("INSERT INTO effect (action, item) VALUES (%s, %s)", [action.name, "do"])
            if action.name in self.fails:
                raise ZeroDivisionError
            if action.name in self.refuses:
                raise Refused(Gone(item=command.item))
            return Taken(item=command.item)

        return do

    def _undoes(self, tx: psycopg.Connection[Any], command: Take, given: Taken) -> None:
        assert command.item == given.item
        tx.execute("INSERT INTO effect (action, item) VALUES ('store.take', 'undo')")
        if "undo" in self.fails:
            raise ZeroDivisionError

    def buy(self, style: protocol.Style = "orchestrated", item: str = "hat") -> UUID:
        with psycopg.connect(self.dsn) as connection:
            return start(connection, self.office, Buy, Asked(item=item), style=style, actor="ada")

    def effects(self) -> list[tuple[str, str]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute("SELECT action, item FROM effect ORDER BY n").fetchall()

    def look(self, saga: UUID) -> seen.Timeline:
        with psycopg.connect(self.dsn) as connection:
            found = seen.timeline(connection, saga)
        assert found is not None
        return found

    def status(self, saga: UUID) -> str:
        return self.look(saga).saga.status

    def let_time_pass(self, saga: UUID, *, deadline: bool = False) -> None:
        """All that the saga waits for is due now."""
        with psycopg.connect(self.dsn) as connection:
            (text,) = connection.execute(
                "SELECT steps::text FROM sagas.saga WHERE id = %s", [saga]
            ).fetchone() or ("",)
            steps = msgspec.json.decode(text)
            for step in steps.values():
                if step.get("due") and not deadline:
                    step["due"] = "2020-01-01T00:00:00Z"
            connection.execute(
                "UPDATE sagas.saga SET steps = %s, next_at = now(), deadline_at = CASE WHEN %s"
                " THEN now() - interval '1 s' ELSE deadline_at END WHERE id = %s",
                [msgspec.json.encode(steps).decode(), deadline, saga],
            )
            connection.commit()
            timers.look(connection, self.office)
        self.post.carry()


@pytest.fixture
def world(new_database: Databases) -> World:
    return World(new_database())


BOTH = pytest.mark.parametrize("style", ["orchestrated", "choreographed"])


@BOTH
def test_all_of_it(world: World, style: protocol.Style) -> None:
    saga = world.buy(style)
    world.post.carry()
    assert world.status(saga) == "COMPLETED"
    assert [action for action, _ in world.effects()] == [
        "store.take", "store.take", "bank.pay", "mail.send",
    ]  # fmt: skip


@BOTH
def test_a_refusal_undoes_backwards(world: World, style: protocol.Style) -> None:
    world.refuses.add("bank.pay")
    saga = world.buy(style)
    world.post.carry()
    found = world.look(saga)
    assert found.saga.status == "COMPENSATED"
    assert [step.status for step in found.saga.steps][:3] == ["UNDONE", "UNDONE", "REFUSED"]
    assert world.effects() == [("store.take", "do")] * 2 + [("store.take", "undo")] * 2
    undone = [line for line in found.log if line.kind == "undone"]
    assert [line.step for line in undone] == ["second", "first"]
    assert all("REFUSED" in line.reason for line in undone[:1])


def test_whoever_asks_again_gets_the_same_answer(world: World) -> None:
    saga = world.buy()
    world.post.carry()
    commands = [r for r in world.post.sent if r.headers[5][1].endswith(b"/do")]  # type: ignore[union-attr]
    for number, record in enumerate(commands):
        headers = [(n, b"%032x" % number if n == "ce_id" else v) for n, v in record.headers]
        assert world.post.deliver(msgspec.structs.replace(record, headers=headers)) == 1
    before = len(world.effects())
    world.post.carry()
    assert len(world.effects()) == before == 4
    assert world.status(saga) == "COMPLETED"
    assert [world.post.deliver(record) for record in world.post.sent] == [0] * len(world.post.sent)


def test_an_undo_before_its_action_voids_it(world: World) -> None:
    saga = world.buy()
    with psycopg.connect(world.dsn) as connection:
        operate.give_up(connection, world.office, saga, "bob", "changed his mind")
    late = Post(world.dsn, world.post.services)
    (do, undo) = late._new()
    assert late.deliver(undo) == 1
    assert late.deliver(do) == 1
    world.post.carry()
    found = world.look(saga)
    assert (found.saga.status, world.effects()) == ("COMPENSATED", [])
    voided = next(line for line in found.log if line.kind == "voided")
    assert (voided.actor, voided.reason) == ("participant store", "changed his mind")


@BOTH
def test_a_bug_is_tried_again_then_parked_then_resumed(world: World, style: protocol.Style) -> None:
    world.fails.add("bank.pay")
    saga = world.buy(style)
    world.post.carry()
    world.let_time_pass(saga)
    assert world.status(saga) == "RUNNING"
    world.let_time_pass(saga)
    assert world.status(saga) == "PARKED"
    assert ("bank.pay", "do") not in world.effects()
    told = [line.reason for line in world.look(saga).log if line.kind == "heard"]
    assert "bank.pay says FAILED: ZeroDivisionError in test_sagas.py line" in told[-1]
    world.let_time_pass(saga, deadline=True)
    assert world.status(saga) == "PARKED"
    world.fails.clear()
    with psycopg.connect(world.dsn) as connection:
        operate.resume(connection, world.office, saga, "bob", "mended")
    world.post.carry()
    assert world.status(saga) == "COMPLETED"
    assert [line.actor for line in world.look(saga).log if line.kind == "resumed"] == ["bob"]


def test_an_undo_that_fails_is_parked(world: World) -> None:
    world.refuses.add("bank.pay")
    world.fails.add("undo")
    saga = world.buy()
    world.post.carry()
    world.let_time_pass(saga)
    world.let_time_pass(saga)
    assert world.status(saga) == "COMPENSATION_PARKED"
    assert world.effects() == [("store.take", "do")] * 2
    world.fails.clear()
    with psycopg.connect(world.dsn) as connection:
        operate.resume(connection, world.office, saga, "bob", "mended")
    world.post.carry()
    assert world.status(saga) == "COMPENSATED"


@BOTH
def test_a_deadline_undoes_what_is_not_past_its_pivot(world: World, style: protocol.Style) -> None:
    world.fails.add("bank.pay")
    saga = world.buy(style)
    world.post.carry()
    world.let_time_pass(saga, deadline=True)
    assert world.status(saga) == "COMPENSATED"
    assert "deadline" in {line.actor for line in world.look(saga).log}


def test_past_the_pivot_it_only_goes_on(world: World) -> None:
    world.fails.add("mail.send")
    saga = world.buy()
    world.post.carry()
    with (
        psycopg.connect(world.dsn) as connection,
        pytest.raises(CannotDo, match="past its point of no return"),
    ):
        operate.give_up(connection, world.office, saga, "bob", "changed his mind")
    world.let_time_pass(saga, deadline=True)
    assert world.status(saga) == "RUNNING"
    world.fails.clear()
    world.let_time_pass(saga)
    assert world.status(saga) == "COMPLETED"


def test_a_command_that_cannot_be_made_parks_its_saga_alone(world: World) -> None:
    bad, good = world.buy(item="unnamed"), world.buy()
    world.post.carry()
    assert world.status(good) == "COMPLETED"
    world.let_time_pass(bad)
    world.let_time_pass(bad)
    assert world.status(bad) == "PARKED"
    why = next(line.reason for line in world.look(bad).log if line.kind == "failed")
    assert "the command of step first can't be made: LookupError in test_sagas.py" in why


def test_it_begins_once(world: World) -> None:
    saga = world.buy()
    with psycopg.connect(world.dsn) as connection:
        again = start(connection, world.office, Buy, Asked(item="coat"), id_=saga)
    world.post.carry()
    assert again == saga
    assert len(world.effects()) == 4


def test_code_that_live_sagas_need_cannot_be_taken_away(world: World) -> None:
    saga = world.buy()

    class Less(Saga, name="buy", request=Asked, contracts=shop, deadline_s=60):
        first = Step(take, _take)

    with (
        psycopg.connect(world.dsn) as connection,
        pytest.raises(NotStarted, match=rf"1 saga.* step second \(store.take\).*{saga}"),
    ):
        Orchestrator("shop", Less).ready(connection)
    world.post.carry()
    with psycopg.connect(world.dsn) as connection:
        Orchestrator("shop", Less).ready(connection)


def test_actions_without_locks_ask_for_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagas.locks.StoredLocks.__init__", None)
    saga = world.buy()
    world.post.carry()
    assert world.status(saga) == "COMPLETED"
    ended = world.post.sent[-1]
    assert ended.headers[5][1].endswith(b"/ended")  # type: ignore[union-attr]
    assert world.post.deliver(ended) == 0


def test_what_cannot_work_is_refused_where_it_is_written() -> None:
    with pytest.raises(PlanError, match=r"step sent comes after the pivot, and store\.take may"):

        class Late(Saga, name="late", request=Asked, contracts=shop, deadline_s=1):
            paid = Pivot(pay, _take)
            sent = Step(take, _take, after=[paid])

    with pytest.raises(PlanError, match=r"step a may have to be undone, and mail\.send is final"):

        class Final(Saga, name="final", request=Asked, contracts=shop, deadline_s=1):
            a = Step(send, _take)

    with pytest.raises(PlanError, match="runs beside the pivot paid"):

        class Beside(Saga, name="beside", request=Asked, contracts=shop, deadline_s=1):
            a = Step(take, _take)
            paid = Pivot(pay, _take)


def test_the_log_holds_every_effect(world: World) -> None:
    world.refuses.add("bank.pay")
    world.buy()
    world.post.carry()
    with psycopg.connect(world.dsn) as connection:
        assert list(log.verify(connection)) == []
        rows = list(log.rows(connection))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.actor and row.at <= datetime.now(UTC) for row in rows)


def test_an_answer_that_cannot_be_taken_is_set_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bug of ours, say: the others of its batch go on, and the timer asks again."""
    with monkeypatch.context() as patched:
        patched.setattr("sagas.turn.Turn._note", lambda *_: 1 / 0)
        saga = world.buy()
        with pytest.raises(Rejected, match="can't take it: ZeroDivisionError"):
            world.post.carry()
    world.let_time_pass(saga)
    assert world.status(saga) == "COMPLETED"
