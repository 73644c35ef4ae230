"""The samples of docs/sagas.md, Undos that work: run as they are, while the world goes on."""

import re
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from eventstore.contracts import Contracts, Event
from sagas import seen
from sagas.declared import Action, Pivot, Saga, Step
from sagas.orchestrator import Orchestrator, start
from sagas.participant import Participant, Refused
from tailrace.harness.databases import Databases
from tests.post import Post, prepare

PAGE = Path(__file__).parents[2] / "docs" / "sagas.md"
DDL = """
CREATE TABLE room (kind text PRIMARY KEY, free int CHECK (free >= 0), price int, has_view bool);
INSERT INTO room VALUES ('attic', 5, 50, false), ('lake', 5, 70, true), ('suite', 5, 300, true);
CREATE TABLE booking (number serial PRIMARY KEY, kind text, rooms int);
CREATE TABLE member (name text PRIMARY KEY, points int CHECK (points >= 0));
INSERT INTO member VALUES ('ada', 100);
CREATE TABLE owed (name text, points int);
CREATE TABLE to_send (key text, address text);
"""
TAKE = """
UPDATE room SET free = free - %s WHERE kind = (
  SELECT kind FROM room WHERE has_view AND free >= %s ORDER BY price LIMIT 1 FOR UPDATE
) RETURNING kind
"""
BOOK = "INSERT INTO booking (kind, rooms) VALUES (%s, %s) RETURNING number"

stays = Contracts("stays")


@stays.event("stays.requested")
class StayRequested(Event):
    member: str
    rooms: int


@stays.event("stays.reserve")
class ReserveRooms(Event):
    rooms: int


@stays.event("stays.reserved")
class RoomsReserved(Event):
    booking: int
    kind: str


@stays.event("stays.full")
class HotelFull(Event):
    rooms: int


@stays.event("stays.grant")
class GrantPoints(Event):
    member: str


@stays.event("stays.granted")
class PointsGranted(Event):
    points: int


@stays.event("stays.mail")
class SendMail(Event):
    key: str
    address: str


@stays.event("stays.queued")
class MailQueued(Event):
    key: str


reserve_rooms = Action(
    "hotel.reserve", stays, takes=ReserveRooms, gives=RoomsReserved, refuses=(HotelFull,)
)
grant_points = Action("club.grant", stays, takes=GrantPoints, gives=PointsGranted)
charge = Action(
    "bank.charge",
    stays,
    takes=GrantPoints,
    gives=PointsGranted,
    refuses=(HotelFull,),
    is_final=True,
)
send_mail = Action("mail.send", stays, takes=SendMail, gives=MailQueued, is_final=True)


class Inn:
    """
    The page's services in one database, with a bank that says no unless it `pays`. `meanwhile` is
    what others do after the rooms were reserved and before it answers.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn, self.pays = dsn, False
        self.meanwhile: LiteralString = ""
        self.page = self._run_page()
        self.office = Orchestrator("stays", self.page["Stay"])
        services = [self.office, *(self.page[name] for name in ("hotel", "club", "bank", "mail"))]
        self.post = Post(dsn, services)
        with psycopg.connect(dsn) as connection:
            prepare(connection, *services)
            connection.execute(DDL)

    def _run_page(self) -> dict[str, Any]:
        names = globals() | {
            "Saga": Saga,
            "Step": Step,
            "Pivot": Pivot,
            "hotel": Participant("hotel"),
            "club": Participant("club"),
            "bank": Participant("bank"),
            "mail": Participant("mail"),
            "TAKE_CHEAPEST_WITH_VIEW": TAKE,
            "rooms_of": lambda stay: ReserveRooms(rooms=stay.request.rooms),
            "points_of": lambda stay: GrantPoints(member=stay.request.member),
            "price_of": lambda stay: GrantPoints(member=stay.request.member),
            "mail_of": lambda stay: SendMail(key=str(stay.id), address=stay.request.member),
        }
        for sample in samples():
            exec(sample, names)
        names["club"].does(grant_points)(self._grant)
        names["bank"].does(charge)(self._charge)
        return names

    def _grant(self, tx: psycopg.Connection[Any], asked: GrantPoints) -> PointsGranted:
        tx.execute("UPDATE member SET points = points + 30 WHERE name = %s", [asked.member])
        return PointsGranted(points=30)

    def _charge(self, tx: psycopg.Connection[Any], asked: GrantPoints) -> PointsGranted:
        if self.meanwhile:
            self.ask(self.meanwhile)
        if not self.pays:
            raise Refused(HotelFull(rooms=0))
        return PointsGranted(points=0)

    def stay(self) -> str:
        with psycopg.connect(self.dsn) as connection:
            asked = StayRequested(member="ada", rooms=2)
            saga = start(connection, self.office, self.page["Stay"], asked)
        self.post.carry()
        return self.status(saga)

    def status(self, saga: UUID) -> str:
        with psycopg.connect(self.dsn) as connection:
            found = seen.timeline(connection, saga)
        assert found is not None
        return found.saga.status

    def ask(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute(query)
            return found.fetchall() if found.description else []

    def free(self) -> dict[str, int]:
        return {str(kind): free for kind, free in self.ask("SELECT kind, free FROM room")}


def samples() -> list[str]:
    """Of the section, in their order."""
    section = PAGE.read_text().partition("## Undos that work\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```python\n(.*?)^```$", section, re.S | re.M)
    assert len(found) == 4
    return found


@pytest.fixture
def inn(new_database: Databases) -> Inn:
    return Inn(new_database())


def test_all_is_as_it_was(inn: Inn) -> None:
    assert inn.stay() == "COMPENSATED"
    assert inn.free() == {"attic": 5, "lake": 5, "suite": 5}
    assert inn.ask("SELECT points FROM member") == [(100,)]
    assert inn.ask("SELECT * FROM booking UNION ALL SELECT NULL, name, points FROM owed") == []
    assert inn.ask("SELECT * FROM to_send") == []


def test_what_others_did_meanwhile_stays(inn: Inn) -> None:
    """One of the rooms was given back at the desk, and somebody else has taken two."""
    inn.meanwhile = (
        "UPDATE booking SET rooms = 1; UPDATE room SET free = free + 1 - 2 WHERE kind = 'lake'"
    )
    assert inn.stay() == "COMPENSATED"
    assert inn.free()["lake"] == 3


def test_what_is_gone_is_not_given_back_twice(inn: Inn) -> None:
    inn.meanwhile = "DELETE FROM booking; UPDATE room SET free = free + 2 WHERE kind = 'lake'"
    assert inn.stay() == "COMPENSATED"
    assert inn.free()["lake"] == 5


@pytest.mark.parametrize("how", ["UPDATE member SET points = 10", "DELETE FROM member"])
def test_what_cannot_be_undone_to_the_full_is_written_down(inn: Inn, how: LiteralString) -> None:
    inn.meanwhile = how
    assert inn.stay() == "COMPENSATED"
    assert inn.ask("SELECT name, points FROM owed") == [("ada", 30)]


def test_a_mail_goes_out_after_the_pivot_once(inn: Inn) -> None:
    inn.pays = True
    assert inn.stay() == "COMPLETED"
    for record in inn.post.sent:
        inn.post.deliver(record)
    assert [address for _, address in inn.ask("SELECT * FROM to_send")] == ["ada"]
    assert inn.free()["lake"] == 3
