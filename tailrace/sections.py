"""The sections that describe sinks, one class a type, and what all sections have in common."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connectors.spec import EVENTS, LOG, OUTBOX, events_topic
from tailrace.exits import USAGE, Problem
from tailrace.values import Count, Dsn, Millis, Size, Tables, Text, names, shown


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file. Neither `repr` nor rich shows a password."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, shown(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


class Batch(Section, frozen=True):
    """How much is applied in one transaction of the sink."""

    max_events: Annotated[Count, Meta(description="The most changes")] = 10_000
    max_bytes: Annotated[Size, Meta(description="The most bytes of records")] = 8 << 20
    max_wait_ms: Annotated[
        Millis, Meta(description="How long one poll waits when there is nothing to read")
    ] = 100
    gather_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How long after a poll that found something the next one is made: fewer and"
            " larger transactions, for latency under load",
        ),
    ] = 0


class PostgresSink(Section, frozen=True, tag_field="type", tag="postgres"):
    """A Postgres that mirrors the source's tables."""

    dsn: Annotated[Dsn, Meta(description="The target database")]
    tables: Annotated[Tables, Meta(description="All of the source's when left out")] = ()
    workers: Annotated[Count, Meta(description="Processes that share this sink's partitions")] = 1
    batch: Batch = Batch()


class EventBatch(Batch, frozen=True):
    """How many events are handled in one transaction of the service."""

    max_events: Annotated[Count, Meta(description="The most events")] = 200


class SubscriberSink(Section, frozen=True, tag_field="type", tag="subscriber"):
    """Handlers of events, each run once in effect in the service's own database."""

    dsn: Annotated[Dsn, Meta(description="The service's own database")]
    module: Annotated[
        Text, Meta(description="The Subscriber in Python, as package.module:attribute")
    ]
    topics: Annotated[
        tuple[Text, ...],
        Meta(
            title="a list of topics, like hotel.events",
            description="This pipeline's own events when left out",
            extra={"parse": names},
        ),
    ] = ()
    workers: Annotated[Count, Meta(description="Processes that share this sink's partitions")] = 1
    batch: EventBatch = EventBatch()

    @property
    def tables(self) -> tuple[str, ...]:
        """It mirrors none."""
        return ()


class ProjectionSink(Section, frozen=True, tag_field="type", tag="projection"):
    """A read model, made of the events of an event store that is the source."""

    dsn: Annotated[Dsn, Meta(description="The database of the read model")]
    module: Annotated[Text, Meta(description="Where it is declared, as package.module:attribute")]
    workers: Annotated[Count, Meta(description="Processes that share this sink's partitions")] = 1
    batch: Batch = Batch()

    @property
    def tables(self) -> tuple[str, ...]:
        """It mirrors none."""
        return ()


Sink = PostgresSink | ProjectionSink | SubscriberSink

# The first two are keyed by what their rows are about, so as rows they would replace each other.
_NO_MIRROR = {
    OUTBOX: "leave as events; a sink of type subscriber takes those",
    EVENTS: "leave as events; a sink of type projection takes those",
    LOG: "would get into the log that the target has of its own; their copy is the topic",
}


def completed(name: str, sink: Sink, tables: tuple[str, ...], pipeline: str) -> Sink:
    """
    With what it follows, where the file leaves that out; `tables` are the source's. Raises Problem
    (TR-CFG-007).
    """
    if isinstance(sink, SubscriberSink):
        if not sink.topics and OUTBOX not in tables:
            raise at_odds(
                f"sinks.{name}.topics names no topic, and source.tables has no {OUTBOX} whose"
                " events it could follow; name the topics, like hotel.events."
            )
        return msgspec.structs.replace(sink, topics=sink.topics or (events_topic(pipeline),))
    if isinstance(sink, ProjectionSink):
        if EVENTS not in tables:
            raise at_odds(
                f"sinks.{name} follows {EVENTS}, which source.tables does not have; add it there."
            )
        return sink
    return _mirror(name, sink, tables)


def _mirror(name: str, sink: PostgresSink, tables: tuple[str, ...]) -> PostgresSink:
    mirrored = tuple(table for table in tables if table not in _NO_MIRROR)
    for table, why in _NO_MIRROR.items():
        if table in sink.tables or (table in tables and not mirrored):
            raise at_odds(
                f"sinks.{name} would mirror {table}, whose rows {why}. Give it other tables, or"
                " remove it."
            )
    for table in sink.tables:
        if table not in tables:
            raise at_odds(
                f"sinks.{name}.tables has {table}, which source.tables does not;"
                " add it there or remove it here."
            )
    return msgspec.structs.replace(sink, tables=sink.tables or mirrored)


def at_odds(sentence: str) -> Problem:
    """For parts of the file that disagree."""
    return Problem("TR-CFG-007", sentence, exit_code=USAGE)
