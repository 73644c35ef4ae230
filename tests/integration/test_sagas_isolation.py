"""Sagas beside each other on a real Postgres: locks, values read again, what is forgotten."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from eventstore.contracts import Contracts, Event
from eventstore.envelope import Envelope
from eventstore.subscriber import Subscriber
from sagas import forget, operate, protocol, seen, timers
from sagas.declared import Action, Course, Pivot, Saga, Step
from sagas.orchestrator import Orchestrator, start
from sagas.participant import Participant, Refused
from sagas.plan import PlanError
from sagas.wire import new_id
from tailrace.harness.databases import Databases
from tests.post import Post, prepare

inn = Contracts("inn")


@inn.event("inn.asked")
class Asked(Event):
    room: str
    pool: str = "none"
    price_cents: int = 100


@inn.event("inn.take")
class Take(Event):
    room: str
    price_cents: int


@inn.event("inn.taken")
class Taken(Event):
    room: str


@inn.event("inn.price_changed")
class PriceChanged(Event):
    price_cents: int


def rooms(command: Take) -> list[str]:
    return [] if command.room == "none" else [f"room-{command.room}"]


reserve = Action(
    "hotel.reserve", inn, takes=Take, gives=Taken, refuses=(PriceChanged,),
    locks=rooms, on_locked="wait",
)  # fmt: skip
swim = Action("pool.swim", inn, takes=Take, gives=Taken, locks=rooms)
pay = Action("bank.pay", inn, takes=Take, gives=Taken, is_final=True)


def _room(course: Course[Asked]) -> Take:
    return Take(room=course.request.room, price_cents=course.request.price_cents)


def _pool(course: Course[Asked]) -> Take:
    return Take(room=course.request.pool, price_cents=course.request.price_cents)


class Stay(Saga, name="stay", request=Asked, contracts=inn, deadline_s=60):
    room = Step(reserve, _room, tries=2)
    pool = Step(swim, _pool, after=[room], tries=2)
    paid = Pivot(pay, _room, after=[pool], tries=2)


class World:
    """One database for all. `fails` says whose code raises, `slow_s` how long all of it takes."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.fails: set[str] = set()
        self.slow_s = 0.0
        self.office = Orchestrator("inn", Stay)
        hotel, pool, bank = Participant("hotel"), Participant("pool"), Participant("bank")
        for service, action in ((hotel, reserve), (pool, swim), (bank, pay)):
            service.does(action)(self._does(action))
            service.joins(Stay)
        hotel.undoes(reserve)(self._undoes)
        pool.undoes(swim)(self._undoes)
        self.services: list[Subscriber] = [self.office, hotel, pool, bank]
        self.post = Post(dsn, self.services)
        with psycopg.connect(dsn) as connection:
            prepare(connection, *self.services)
            connection.execute(
                "CREATE TABLE effect (n bigserial, action text, way text, room text)"
            )
            connection.execute("CREATE TABLE price AS SELECT 100 AS cents")

    def _does(self, action: Action) -> Any:
        def do(tx: psycopg.Connection[Any], command: Take) -> Event:
            if action.name in self.fails:
                raise ZeroDivisionError
            tx.execute("SELECT pg_sleep(%s)", [self.slow_s])
            (now,) = tx.execute("SELECT cents FROM price").fetchone() or (0,)
            if action is reserve and command.price_cents != now:
                raise Refused(PriceChanged(price_cents=now))
            values = [action.name, command.room]
            tx.execute("INSERT INTO effect (action, way, room) VALUES (%s, 'do', %s)", values)
            return Taken(room=command.room)

        return do

    def _undoes(self, tx: psycopg.Connection[Any], command: Take, given: Taken) -> None:
        if "undo" in self.fails:
            raise ZeroDivisionError
        tx.execute("INSERT INTO effect (way, room) VALUES ('undo', %s)", [given.room])

    def stay(self, room: str, style: protocol.Style = "orchestrated", **more: Any) -> UUID:
        """One that begins, and comes as far as it can."""
        id_ = more.pop("id_", None)
        with psycopg.connect(self.dsn) as connection:
            request = Asked(room=room, **more)
            id_ = start(connection, self.office, Stay, request, style=style, id_=id_)
        self.post.carry()
        return id_

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query, values).fetchall()

    def done(self, room: str) -> int:
        query = "SELECT count(*) FROM effect WHERE (action, room) = ('hotel.reserve', %s)"
        return int(self.rows(query, room)[0][0])

    def holders(self) -> dict[str, UUID]:
        return dict(self.rows("SELECT resource, saga FROM sagas.lock"))

    def waiting(self) -> list[UUID]:
        return [saga for (saga,) in self.rows("SELECT saga FROM sagas.lock_wait ORDER BY saga")]

    def look(self, saga: UUID) -> seen.SeenSaga:
        with psycopg.connect(self.dsn) as connection:
            found = seen.timeline(connection, saga)
        assert found is not None
        return found.saga

    def step(self, saga: UUID, name: str) -> str:
        return next(step.status for step in self.look(saga).steps if step.name == name)

    def give_up(self, saga: UUID) -> None:
        with psycopg.connect(self.dsn) as connection:
            operate.give_up(connection, self.office, saga, "bob", "changed his mind")
        self.post.carry()

    def ask_again(self) -> None:
        """All timers are due: what is not answered is sent again, once more."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "UPDATE sagas.saga SET next_at = now(), steps = regexp_replace(steps::text,"
                ' \'"due":"[^"]*"\', \'"due":"2020-01-01T00:00:00Z"\', \'g\')::json'
                " WHERE ended_at IS NULL"
            )
            connection.commit()
            timers.look(connection, self.office)
        self.post.carry()


@pytest.fixture
def world(new_database: Databases) -> Iterator[World]:
    """Invariant 13 holds after each test: nothing is kept for a saga that is over."""
    made = World(new_database())
    yield made
    made.fails.clear()
    made.post.carry()
    over = "SELECT {} FROM sagas.{} JOIN sagas.saga s ON s.id = saga WHERE s.ended_at IS NOT NULL"
    for table in ("lock", "lock_wait"):
        assert made.rows(over.format("saga", table)) == []


DO = b"saga/orchestrated/stay/room/hotel.reserve/do"
# In these tests a saga whose bank fails keeps its room, until it is over.
BOTH = pytest.mark.parametrize("style", ["orchestrated", "choreographed"])


@BOTH
def test_what_is_over_holds_nothing(world: World, style: protocol.Style) -> None:
    world.fails.add("bank.pay")
    saga = world.stay("1", style, pool="1")
    # One saga is not in its own way.
    assert world.rows("SELECT resource, steps FROM sagas.lock") == [("room-1", ["pool", "room"])]
    world.fails.clear()
    world.ask_again()
    assert world.look(saga).status == "COMPLETED"
    assert world.holders() == {}


@BOTH
def test_an_older_one_waits_and_then_goes_on(world: World, style: protocol.Style) -> None:
    older = new_id()
    world.fails.add("bank.pay")
    younger = world.stay("1", style)
    assert world.stay("1", style, id_=older) == older
    assert (world.holders(), world.waiting()) == ({"room-1": younger}, [older])
    assert world.step(older, "room") == "SENT"
    world.give_up(younger)
    assert world.look(younger).status == "COMPENSATED"
    assert (world.holders(), world.waiting()) == ({"room-1": older}, [])
    assert world.step(older, "room") == "DONE"
    world.fails.clear()
    world.ask_again()
    assert (world.look(older).status, world.holders()) == ("COMPLETED", {})


@BOTH
def test_a_younger_one_is_refused(world: World, style: protocol.Style) -> None:
    world.fails.add("bank.pay")
    older = world.stay("1", style)
    younger = world.stay("1", style)
    assert world.look(younger).status == "COMPENSATED"
    assert world.step(younger, "room") == "REFUSED"
    said = "SELECT payload FROM eventstore.outbox WHERE type = 'saga.locked'"
    assert [row[0] for row in world.rows(said)] == [{"resource": "room-1", "held_by": str(older)}]
    assert world.holders() == {"room-1": older}


def test_an_action_that_refuses_does_so_also_to_older_ones(world: World) -> None:
    older = new_id()
    world.fails.add("bank.pay")
    holder = world.stay("1", pool="9")
    world.stay("2", pool="9", id_=older)
    assert world.step(older, "pool") == "REFUSED"
    assert world.look(older).status == "COMPENSATED"
    assert world.holders() == {"room-1": holder, "room-9": holder}


def test_the_youngest_that_waits_goes_first(world: World) -> None:
    """So all others go on waiting for one that is younger than they are."""
    first, second = sorted((new_id(), new_id()))
    world.fails.add("bank.pay")
    third = world.stay("1")
    world.stay("1", id_=first)
    world.stay("1", id_=second)
    for holder, waiting in ((third, [first, second]), (second, [first]), (first, [])):
        assert (world.holders(), world.waiting()) == ({"room-1": holder}, waiting)
        world.give_up(holder)
    assert (
        world.rows("SELECT way FROM effect WHERE room = '1' ORDER BY n") == [("do",), ("undo",)] * 3
    )


def test_one_that_asks_again_waits_once(world: World) -> None:
    older = new_id()
    world.fails.add("bank.pay")
    younger = world.stay("1")
    world.stay("1", id_=older)
    world.ask_again()
    assert world.waiting() == [older]
    waits = "SELECT reason FROM sagas.log WHERE kind = 'waits'"
    assert world.rows(waits) == [(f"saga {younger} has room-1",)]
    world.give_up(younger)
    assert world.step(older, "room") == "DONE"
    assert world.done("1") == 2


def test_an_undo_finds_what_waits(world: World) -> None:
    older = new_id()
    world.fails.add("bank.pay")
    younger = world.stay("1")
    world.stay("1", id_=older)
    world.give_up(older)
    assert (world.look(older).status, world.waiting()) == ("COMPENSATED", [])
    assert world.step(older, "room") == "VOIDED"
    world.give_up(younger)
    assert world.done("1") == 1


def test_what_fails_when_it_is_its_turn_is_asked_for_again(world: World) -> None:
    older = new_id()
    world.fails.add("bank.pay")
    younger = world.stay("1")
    world.stay("1", id_=older)
    world.fails.add("hotel.reserve")
    world.give_up(younger)
    assert (world.holders(), world.waiting(), world.step(older, "room")) == ({}, [], "SENT")
    world.fails.clear()
    world.ask_again()
    assert world.look(older).status == "COMPLETED"


def test_no_more_wait_than_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagas.locks.MOST_WAITING", 1)
    first, second = sorted((new_id(), new_id()))
    world.fails.add("bank.pay")
    world.stay("1")
    world.stay("1", id_=second)
    world.stay("1", id_=first)
    assert world.waiting() == [second]
    assert world.step(first, "room") == "REFUSED"


def test_two_processes_give_a_room_to_one(world: World) -> None:
    """Whoever asks while another transaction decides waits for it, then sees what it did."""
    hotel, world.slow_s = world.services[1], 0.3
    ids = [new_id() for _ in range(12)]
    with psycopg.connect(world.dsn) as connection:
        for id_ in ids:
            start(connection, world.office, Stay, Asked(room="1"), id_=id_)
    commands = [each for each in world.post._new() if ("ce_aggregatetype", DO) in each.headers]

    def deliver(part: list[Any]) -> None:
        post = Post(world.dsn, [hotel])
        for record in part:
            post.deliver(record)

    threads = [threading.Thread(target=deliver, args=(commands[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = dict(world.rows("SELECT saga, state FROM sagas.fence"))
    assert len(world.holders()) == 1
    assert list(states.values()).count("DONE") == 1
    refused = {saga for saga, state in states.items() if state == "REFUSED"}
    holder = world.holders()["room-1"]
    assert all(each > holder for each in refused)
    assert set(world.waiting()) == set(ids) - refused - {holder}
    world.post._last, world.slow_s = 0, 0.0
    world.post.carry()


def test_a_step_after_the_pivot_cannot_lock() -> None:
    final = Action("mail.send", inn, takes=Take, gives=Taken, is_final=True, locks=rooms)
    with pytest.raises(PlanError, match="an action that neither refuses nor locks"):

        class Late(Saga, name="late", request=Asked, contracts=inn, deadline_s=1):
            paid = Pivot(pay, _room)
            sent = Step(final, _room, after=[paid])


def test_what_a_command_rests_on_is_read_again(world: World) -> None:
    """The customer was shown 100; meanwhile it costs 120, and nobody takes 120 from him."""
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE price SET cents = 120")
    saga = world.stay("1", price_cents=100)
    assert (world.look(saga).status, world.step(saga, "room")) == ("COMPENSATED", "REFUSED")
    assert world.look(world.stay("1", price_cents=120)).status == "COMPLETED"


def _age(world: World) -> None:
    """All that is over has been so for long."""
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE sagas.saga SET ended_at = ended_at - interval '36 days'")
        connection.execute("UPDATE eventstore.inbox SET at = at - interval '36 days'")


@BOTH
def test_what_is_over_for_long_is_forgotten(world: World, style: protocol.Style) -> None:
    over = [world.stay("1", style), world.stay("1", style, price_cents=1)]
    world.fails.add("bank.pay")
    _age(world)
    alive = world.stay("2", style)
    with psycopg.connect(world.dsn) as connection:
        assert timers.forget_some(connection, world.office) == len(over)
        assert timers.forget_some(connection, world.office) == 0
    world.post.carry()
    for query in ("SELECT id FROM sagas.saga", "SELECT DISTINCT saga FROM sagas.fence"):
        assert world.rows(query) == [(alive,)]
    old = "SELECT count(*) FROM eventstore.inbox WHERE at < now() - interval '1 day'"
    assert world.rows(old) == [(0,)]
    assert {UUID(row[0]) for row in world.rows("SELECT subject FROM sagas.log")} == {*over, alive}


def test_what_is_too_old_is_not_taken_in(world: World) -> None:
    """A topic that is read from its beginning runs no action of what is forgotten."""
    now = datetime.now(UTC)
    for days, is_wanted in ((29, True), (31, False)):
        said = Envelope(
            "1", "inn", "inn.take", 1, now - timedelta(days=days), str(new_id()), b"{}",
            aggregate=DO.decode(),
        )  # fmt: skip
        assert world.services[1].wants(said) == is_wanted


def test_what_recognises_a_repeat_outlives_it() -> None:
    with pytest.raises(ValueError, match="keep_days has to be above 30, not 30"):
        Orchestrator("inn", Stay, keep_days=30)
    assert forget.TOO_OLD.days < forget.KEEP_DAYS
