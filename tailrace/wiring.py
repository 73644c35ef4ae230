"""
The single composition root: a pipeline's values become the objects of one worker.

Nothing else in the project knows which adapter stands behind a seam.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.spec import OUTBOX, events_topic
from consumer.deadletter import KafkaDeadLetters
from consumer.decode import DebeziumDecoder
from consumer.dedup import RedisDeduplicator, SinkDecides
from consumer.kafka import KafkaSource, Limits
from consumer.ports import Decoder, Observer, Sink
from consumer.worker import Worker
from sinks.postgres import PostgresSink
from tailrace import named
from tailrace.config import EVENTS, Pipeline, ProjectionSink, SubscriberSink

Reached = Callable[[str], None]


def topic_of(pipeline: Pipeline, table: str) -> str:
    """
    Debezium's name for the topic of a table: what Kafka does not allow becomes `_`. The outbox's
    rows go to a topic of events.
    """
    if table == OUTBOX:
        return events_topic(pipeline.name)
    return f"{pipeline.name}." + re.sub(r"[^A-Za-z0-9._-]", "_", table)


def topics_of(pipeline: Pipeline, sink: str) -> list[str]:
    """What a sink reads."""
    settings = pipeline.sinks[sink]
    if isinstance(settings, SubscriberSink):
        return list(settings.topics)
    if isinstance(settings, ProjectionSink):
        return [topic_of(pipeline, EVENTS)]
    return [topic_of(pipeline, table) for table in settings.tables]


def group_of(pipeline: Pipeline, sink: str) -> str:
    """The consumer group of a sink; also the name under which it keeps its offsets and keys."""
    return f"tailrace.{pipeline.name}.{sink}"


def dead_letter_topic(pipeline: Pipeline, sink: str) -> str:
    """Where the sink's refused records go."""
    return f"{pipeline.name}.dead-letters.{sink}"


@dataclass(frozen=True, slots=True)
class Wired:
    """A worker and what has to be closed after it, in this order."""

    worker: Worker
    closes: Sequence[Callable[[], None]]

    def close(self) -> None:
        for close in self.closes:
            close()


def wire(
    pipeline: Pipeline,
    name: str,
    observe: Observer,
    stopping: Callable[[], bool],
    *,
    instance: str | None = None,
    reached: Reached = lambda step: None,
) -> Wired:
    """
    The worker of sink `name`. `instance` makes it a static member of its group.

    Raises consumer.errors.Unreachable where Kafka does not answer.
    """
    settings = pipeline.sinks[name]
    group = group_of(pipeline, name)
    source = KafkaSource(
        topics_of(pipeline, name),
        group=group,
        client=pipeline.kafka.client(),
        instance=instance,
        limits=Limits(
            max_events=settings.batch.max_events,
            max_bytes=settings.batch.max_bytes,
            wait_ms=settings.batch.max_wait_ms,
            gather_ms=settings.batch.gather_ms,
        ),
    )
    letters = KafkaDeadLetters(dead_letter_topic(pipeline, name), name, pipeline.kafka.client())
    parts = _parts(pipeline, name, observe, reached)
    worker = Worker(
        source=source,
        decoder=parts.decoder,
        dedup=parts.dedup,
        sink=parts.sink,
        dead_letters=letters,
        observe=observe,
        stopping=stopping,
    )
    return Wired(
        worker, (source.close, letters.close, parts.dedup.close, parts.sink.close, *parts.closes)
    )


class _Parts(NamedTuple):
    """What differs from one type of sink to the other."""

    decoder: Decoder
    dedup: RedisDeduplicator | SinkDecides
    sink: Sink
    closes: Sequence[Callable[[], None]] = ()


def _parts(pipeline: Pipeline, name: str, observe: Observer, reached: Reached) -> _Parts:
    settings, group = pipeline.sinks[name], group_of(pipeline, name)
    if isinstance(settings, SubscriberSink):
        return _subscriber(settings, group, reached)
    if isinstance(settings, ProjectionSink):
        projection = _projection(settings, group, pipeline.source.dsn, reached)
        return _Parts(DebeziumDecoder([EVENTS]), SinkDecides(), projection)
    tables, placeholder = settings.tables, pipeline.source.placeholder
    dedup = RedisDeduplicator(pipeline.redis.url, group, observe)
    mirror = PostgresSink(settings.dsn, group, tables, placeholder, reached=reached)
    return _Parts(DebeziumDecoder(tables), dedup, mirror)


def _projection(settings: ProjectionSink, group: str, store_dsn: str, reached: Reached) -> Sink:
    from eventstore import projection_sink
    from eventstore.projection import Projection

    projection = named.load(settings.module, Projection)
    return projection_sink.ProjectionSink(
        settings.dsn, group, projection, store_dsn, reached=reached
    )


def _subscriber(settings: SubscriberSink, group: str, reached: Reached) -> _Parts:
    from eventstore import subscriber_sink
    from eventstore.subscriber import EventDecoder, Subscriber

    subscriber = named.load(settings.module, Subscriber)
    sink = subscriber_sink.SubscriberSink(settings.dsn, group, subscriber, reached=reached)
    beside = subscriber.work_beside(settings.dsn)
    return _Parts(EventDecoder(subscriber), SinkDecides(), sink, beside)
