"""
What must hold of a tour when all is over, over its six databases: each sentence is a violation.

The numbers are those of docs/sagas-proof.md.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from sagas import log, protocol
from sagas.instances import StepRow
from sagas.log import Row
from sagas.plan import Plan, plan_of
from sinks.target import load_statements
from tailrace.tour import SERVICES, Tour

PROOF = load_statements(Path(__file__).with_suffix(".sql"))
KINDS = ("done", "refused", "undone", "voided")
HOLDERS = ("flight", "hotel", "car")


@dataclass(frozen=True, slots=True)
class Ended:
    """A saga as its row has it."""

    id: UUID
    style: protocol.Style
    plan: Plan
    status: protocol.Status
    steps: Mapping[str, StepRow]
    people: int
    ended_at: datetime | None


@dataclass(frozen=True)
class Books:
    """All that the six databases say."""

    sagas: list[Ended]
    holds: Mapping[str, Mapping[UUID, tuple[str, int]]]
    """By service and tour: `held` or `cancelled`, and the price."""
    paid: Mapping[UUID, int]
    tickets: Mapping[UUID, int]
    stocks: list[tuple[str, str, int, int]]
    """Service, name, what it says is held, and what its bookings hold."""
    logs: Mapping[str, list[Row]]
    fences: Mapping[str, Mapping[tuple[UUID, str], str]]
    unheard: list[str]
    broken: list[str]

    @cached_property
    def effects(self) -> Mapping[UUID, list[Row]]:
        """What the participants did, by saga."""
        found: dict[UUID, list[Row]] = defaultdict(list)
        for row in (row for name in self.fences for row in self.logs[name]):
            if row.kind in KINDS:
                found[UUID(row.subject)].append(row)
        return found

    @cached_property
    def inputs(self) -> Mapping[UUID, list[Row]]:
        """What moved each saga, in its order."""
        found: dict[UUID, list[Row]] = defaultdict(list)
        for row in self.logs["tours"]:
            if row.kind in ("heard", "timed out", "gave up", "resumed"):
                found[UUID(row.subject)].append(row)
        return found


def prove(tour: Tour) -> list[str]:
    """Empty: all of it holds."""
    books = _read(tour)
    found: list[str] = list(books.broken)
    for saga in books.sagas:
        found += (f"saga {saga.id} ({saga.status}): {wrong}" for wrong in _wrong(books, saga))
    for service, name, said, held in books.stocks:
        if said != held:
            found.append(f"4: {service} says that {said} of {name} are held, bookings hold {held}")
    found += _unlogged(books)
    found += (f"11: {wrong}" for wrong in books.unheard)
    return found


def _wrong(books: Books, saga: Ended) -> Iterator[str]:
    if saga.status not in (*protocol.ENDED, *protocol.STUCK):
        yield "1, 15: it is not over"
    holds = {service: books.holds[service].get(saga.id) for service in HOLDERS}
    held = {service for service, hold in holds.items() if hold is not None and hold[0] == "held"}
    if saga.status == "COMPLETED":
        yield from _wrong_completed(books, saga, holds, held)
    if saga.status == "COMPENSATED" and (held or saga.id in books.paid or saga.id in books.tickets):
        yield "3: something of it stands"
    yield from _wrong_effects(books, saga)
    yield from _wrong_fold(books, saga)


def _wrong_completed(
    books: Books, saga: Ended, holds: Mapping[str, tuple[str, int] | None], held: set[str]
) -> Iterator[str]:
    wanted = {service for service in HOLDERS if saga.steps[service].status == "DONE"}
    if held != wanted or not {"flight", "hotel"} <= held:
        yield f"2: held are {sorted(held)}, its steps say {sorted(wanted)}"
    price = sum(hold[1] for service, hold in holds.items() if hold and service in held)
    if books.paid.get(saga.id) != price:
        yield f"2: paid were {books.paid.get(saga.id)}, its price is {price}"
    if books.tickets.get(saga.id) != saga.people:
        yield f"2: it has {books.tickets.get(saga.id)} tickets for {saga.people}"


def _wrong_effects(books: Books, saga: Ended) -> Iterator[str]:
    """Effects and undos, as the participants logged them with what they did."""
    effects = books.effects.get(saga.id, [])
    count = Counter((row.step, row.kind) for row in effects)
    if any(number > 1 for number in count.values()):
        yield f"5: an effect was logged twice: {count}"
    if saga.ended_at is not None and any(row.at > saga.ended_at for row in effects):
        yield "7: an effect came after its end"
    at = {kind: {r.step: r.at for r in effects if r.kind == kind} for kind in KINDS}
    if lone := at["undone"].keys() - at["done"].keys():
        yield f"6: undone without having been done: {lone}"
    yield from _wrong_order(saga.plan, at)


def _wrong_order(plan: Plan, at: Mapping[str, Mapping[str, datetime]]) -> Iterator[str]:
    done, undone = at["done"], at["undone"]
    gone = {**undone, **at["refused"], **at["voided"]}
    for step in plan.steps:
        for before in undone.keys() & set(step.after):
            if step.name in done and step.name not in undone:
                yield f"8: {before} was undone, and {step.name} stands"
            if step.name in gone and gone[step.name] > undone[before]:
                yield f"8: {before} was undone before {step.name}"
    pivots = {step.name for step in plan.steps if step.pivot}
    needed = [name for name in undone if not plan.steps[plan.index[name]].optional]
    if pivots & done.keys() and needed:
        yield f"9: past the pivot {needed} were undone"


def _wrong_fold(books: Books, saga: Ended) -> Iterator[str]:
    """12: the log's inputs, folded by the core, are the row."""
    state, _ = protocol.begin(saga.plan, saga.style)
    for row in books.inputs.get(saga.id, ()):
        said = msgspec.json.decode(row.body)["input"]
        state, _ = protocol.transition(saga.plan, state, msgspec.convert(said, protocol.Input))
    steps = [saga.steps[step.name].status for step in saga.plan.steps]
    if state.status != saga.status or [step.status for step in state.steps] != steps:
        yield f"12: its log folds to {state.status} {[step.status for step in state.steps]}"


def _unlogged(books: Books) -> Iterator[str]:
    for service, fences in books.fences.items():
        told = {(row.subject, row.step, row.kind) for row in books.logs[service]}
        for (saga, step), state in fences.items():
            if (str(saga), step, state.lower()) not in told:
                yield f"10: {service} has {state} of {step} of saga {saga}, and no log of it"


def _read(tour: Tour) -> Books:
    sagas: list[Ended] = []
    holds: dict[str, dict[UUID, tuple[str, int]]] = {}
    paid: dict[UUID, int] = {}
    issued: dict[UUID, int] = {}
    stocks: list[tuple[str, str, int, int]] = []
    logs: dict[str, list[Row]] = {}
    fences: dict[str, dict[tuple[UUID, str], str]] = {}
    broken: list[str] = []
    sent: dict[str, set[str]] = defaultdict(set)
    inboxes: dict[str, set[str]] = {}
    for name in SERVICES:
        with tour.connect(name) as connection:
            logs[name] = list(log.rows(connection))
            broken += (f"10: log of {name}: {each.sentence}" for each in log.verify(connection))
            inboxes[name] = {row[0] for row in _rows(connection, "inbox")}
            for id_, aggregate in _rows(connection, "outbox"):
                for reader in _readers(aggregate):
                    sent[reader].add(id_)
            if name == "tours":
                sagas = [_ended(*row) for row in _rows(connection, "sagas")]
                continue
            fences[name] = {(row[0], row[1]): row[2] for row in _rows(connection, "fences")}
            if name in HOLDERS:
                holds[name] = {row[0]: (row[1], row[2]) for row in _rows(connection, "bookings")}
                stocks += ((name, *row) for row in _rows(connection, "stocks"))
            elif name == "payment":
                paid = {row[0]: row[1] for row in _rows(connection, "payments")}
            else:
                issued = {row[0]: row[1] for row in _rows(connection, "issued")}
    unheard = [
        f"{len(ids - inboxes[reader])} message(s) to {reader} are in an outbox, not in its inbox"
        for reader, ids in sent.items()
        if ids - inboxes[reader]
    ]
    return Books(sagas, holds, paid, issued, stocks, logs, fences, unheard, broken)


def _readers(aggregate: str) -> Iterable[str]:
    """Who has to have a message in its inbox."""
    *_, action, word = aggregate.split("/")
    if word in ("do", "undo"):
        return [action.partition(".")[0]]
    return [] if word in ("begun", "ended", "forgotten") else ["tours"]


def _rows(connection: psycopg.Connection[Any], name: str) -> list[tuple[Any, ...]]:
    return connection.execute(PROOF[name]).fetchall()


def _ended(
    id_: UUID,
    style: protocol.Style,
    plan: str,
    status: protocol.Status,
    steps: str,
    people: int,
    at: datetime | None,
) -> Ended:
    return Ended(
        id_,
        style,
        plan_of(plan),
        status,
        msgspec.json.decode(steps, type=dict[str, StepRow]),
        people,
        at,
    )
