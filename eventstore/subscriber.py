"""
Handlers of events, in the words of a service:

    billing = Subscriber("billing", hotel)

    @billing.on(RoomHeld)
    def bill(tx, received): ...

A worker runs them (`type: subscriber` in the pipeline's file); docs/outbox.md says what holds.
"""

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, LiteralString, TypeVar

import psycopg

from consumer.errors import Busy, Unreadable
from consumer.event import (
    NOTHING,
    ChangeEvent,
    DeadLetter,
    Mark,
    Record,
    TopicPartition,
)
from eventstore.contracts import Contracts, Event, Invalid
from eventstore.envelope import Envelope, envelope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
E = TypeVar("E", bound=Event)


class Refuse(Exception):
    """Raised by a handler: this event is not for us, for this reason; it is parked as it is."""


@dataclass(frozen=True, slots=True)
class Received(Generic[E]):
    """
    An event as it came. `source` and `id` together are its identity; `version` is the one it was
    published with, `event` is of the newest. `at` is in UTC, None where it was not said. `meta` may
    have correlation, causation and traceparent.
    """

    event: E
    id: str
    type: str
    version: int
    source: str
    subject: str | None
    at: datetime | None
    meta: Mapping[str, str]
    aggregate: str | None = None


Handler = Callable[[psycopg.Connection[Any], Received[Any]], None]
H = TypeVar("H", bound=Handler)


class Arrived(ChangeEvent, frozen=True, gc=False):
    """An event on its way through the loop, decoded."""

    received: Received[Any]


class Subscriber:
    """
    A consumer of events, each handled once in effect. Its name is the one under which it is known
    which events it has had: with another name it starts anew.
    """

    tables: Mapping[str, LiteralString] = {}
    """What it keeps in the service's database beside the inbox: a table of it, and the DDL."""

    def __init__(self, name: str, *contracts: Contracts) -> None:
        self.name = name
        self.handlers: dict[str, Handler] = {}
        self._contracts = contracts

    def on(self, *events: type[Event]) -> Callable[[H], H]:
        """
        Decorates the handler of these events: it gets the transaction and a Received, and writes by
        that transaction alone. Raises ValueError for an event of other contracts, or one that has a
        handler.
        """

        def register(handler: H) -> H:
            for event in events:
                name = event.contract.name
                if name in self.handlers:
                    raise ValueError(f"{self.name} has a handler of {name} already")
                self._of(name, event).reads(self.name, event)
                self.handlers[name] = handler
            return handler

        return register

    def received(self, said: Envelope) -> Received[Any]:
        """The event itself. Raises Unreadable."""
        try:
            event = self.contracts_of(said).decode(said.type, said.version, said.data)
        except Invalid as invalid:
            raise Unreadable(str(invalid)) from None
        return Received(
            event,
            said.id,
            said.type,
            said.version,
            said.source,
            said.subject,
            said.time,
            said.meta,
            said.aggregate,
        )

    def contracts_of(self, said: Envelope) -> Contracts:
        """Those of an event that is wanted. Raises Unreadable."""
        return self._of(said.type)

    def wants(self, said: Envelope) -> bool:
        """Whether it is for this consumer; all others are passed over."""
        return said.type in self.handlers

    def ready(self, tx: psycopg.Connection[Any]) -> None:
        """Before the first events are read. Raises Refused where this code must not run."""

    def work_beside(self, dsn: str) -> Sequence[Callable[[], None]]:
        """Begins what has to be done without being told, and returns what ends it."""
        return ()

    def handle(self, tx: psycopg.Connection[Any], events: Sequence["Arrived"]) -> None:
        """
        New events, in their order within a partition; they commit together. Raises Refuse, and Busy
        for whatever else a handler raises: that is a matter of time, or of a new version of it.
        """
        for arrived in events:
            handler = self.handlers[arrived.table]
            try:
                handler(tx, arrived.received)
            except (Refuse, psycopg.OperationalError):
                raise
            except Exception as error:
                (topic, partition), offset = arrived.record.at, arrived.record.offset
                raise Busy(
                    f"the handler of {arrived.table} in {self.name} fails"
                    f" ({place(error, handler)}) at {topic}[{partition}] offset {offset}: correct"
                    " it and restart the worker; the events wait"
                ) from error

    def _of(self, name: str, model: type[Event] | None = None) -> Contracts:
        for contracts in self._contracts:
            for contract in contracts:
                if contract.name == name and model in (None, contract.model):
                    return contracts
        raise ValueError(f"{name} is in none of the contracts that {self.name} was given")


class EventDecoder:
    """Record -> event that its contract allows. Those that nobody handles are passed over."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._marks: dict[TopicPartition, Mark] = {}

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        self._marks = dict(marks)

    def decode(
        self, polled: Mapping[TopicPartition, Sequence[Record]]
    ) -> tuple[list[ChangeEvent], list[DeadLetter]]:
        events: list[ChangeEvent] = []
        unreadable: list[DeadLetter] = []
        for at, records in polled.items():
            for record in records:
                said: Envelope | None = None
                try:
                    said = envelope(record)
                    if self._subscriber.wants(said):
                        events.append(self._arrived(at, record, said))
                except Unreadable as error:
                    about = said.type if said else None
                    unreadable.append(DeadLetter(record, str(error), about))
        return events, unreadable

    def marks(
        self, polled: Mapping[TopicPartition, Sequence[Record]]
    ) -> dict[TopicPartition, Mark]:
        """Events have no place in the order of changes; the offset is all."""
        return {
            at: self._marks[at]._replace(next_offset=records[-1].offset + 1)
            for at, records in polled.items()
        }

    def _arrived(self, at: TopicPartition, record: Record, said: Envelope) -> Arrived:
        received = self._subscriber.received(said)
        at_us = record.timestamp_ms * 1000
        if received.at is not None:
            at_us = (received.at - _EPOCH) // timedelta(microseconds=1)
        mark = self._marks[at]
        if at_us > mark.committed_at_us:
            self._marks[at] = mark._replace(committed_at_us=at_us)
        return Arrived(
            record,
            said.type,
            "c",
            mark.position,
            at_us,
            NOTHING,
            NOTHING,
            fresh=True,
            received=received,
        )


def place(error: Exception, handler: Callable[..., Any]) -> str:
    """Kind of an error and where in the handler; not its text, which may hold an event's values."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(inspect.unwrap(handler), "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    last = (own or frames)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"
