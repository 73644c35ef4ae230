"""What is said of sagas before they run: nobody does it, nothing undoes it, who reads whom."""

import json
from typing import Any

import jsonschema
from click.testing import CliRunner

from eventstore.contracts import Contracts, Event
from examples.tour import services
from examples.tour.booking import BookTour
from sagas.checked import hears, mermaid, wrong
from sagas.declared import Action, Saga, Step
from sagas.participant import Participant
from tailrace.cli import app
from tailrace.schemas import OUTPUTS, schema

ALL = [getattr(services, name) for name in ("flight", "hotel", "car", "payment", "tickets")]


def run(*words: str, code: int = 0) -> str:
    done = CliRunner(mix_stderr=False).invoke(app, ["sagas", *words])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exc_info)
    return done.stdout


def with_(*names: str) -> list[str]:
    return [word for name in names for word in ("--with", f"examples.tour.services:{name}")]


def test_the_tour_is_whole_in_both_styles() -> None:
    assert list(wrong([BookTour], ALL, "orchestrated")) == []
    assert list(wrong([BookTour], ALL, "choreographed")) == []


def test_who_has_to_hear_whom() -> None:
    assert hears(BookTour.plan, "orchestrated") == dict.fromkeys(
        ("flight", "hotel", "car", "payment", "tickets"), frozenset()
    )
    before = {"flight", "hotel", "car"}
    assert hears(BookTour.plan, "choreographed") == {
        **{who: {"payment"} for who in before},
        "payment": before,
        "tickets": before | {"payment"},
    }


def test_what_is_missing_is_said() -> None:
    found = json.loads(
        run(
            *("check", "examples.tour.booking:office", "--choreographed", "--json"),
            *with_("flight", "hotel", "car", "payment"),
            code=1,
        )
    )
    jsonschema.validate(found, schema(OUTPUTS["sagas check"]))
    assert found["wrong"] == [
        "book-tour: nobody does step tickets: no participant tickets was named"
    ]


def test_code_that_is_missing_is_said() -> None:
    shop = Contracts("shop")

    @shop.event("shop.said")
    class Said(Event):
        pass

    take = Action("store.take", shop, takes=Said, gives=Said)

    def make(_: Any) -> Event:
        return Said()

    class Buy(Saga, name="buy", request=Said, contracts=shop, deadline_s=1):
        first = Step(take, make)

    store = Participant("store")
    assert list(wrong([Buy], [store], "choreographed")) == [
        "buy: store has no code for store.take, which step first needs",
        "buy: store has no undo of store.take: step first would stand",
        "buy: store has not joined it, so step first waits for a timer",
        "buy: it has no pivot, so in a choreography nobody decides between a refusal and the end:"
        " make the last step that may refuse the pivot",
    ]


def test_the_picture() -> None:
    assert mermaid(BookTour.plan).splitlines() == [
        "flowchart LR",
        "  begin((book-tour))",
        '  flight["flight<br/>flight.reserve ⟲"]',
        "  begin --> flight",
        '  hotel["hotel<br/>hotel.reserve ⟲"]',
        "  begin --> hotel",
        '  car("car<br/>car.reserve ⟲")',
        "  begin --> car",
        '  pay{{"pay<br/>payment.charge"}}',
        "  flight --> pay",
        "  hotel --> pay",
        "  car --> pay",
        '  tickets["tickets<br/>tickets.issue"]',
        "  pay --> tickets",
    ]
    assert run("draw", "examples.tour.booking:office").startswith(
        "flowchart LR\n  begin((book-tour))"
    )
