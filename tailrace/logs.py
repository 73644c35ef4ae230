"""Kafka's side of lag: the ends of logs, and the records that sinks have not applied."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import kafka
import kafka.errors
import msgspec
from kafka.structs import TopicPartition as Theirs

from consumer.event import TopicPartition
from consumer.records import log_id
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away
from tailrace.config import Kafka as Brokers
from tailrace.lag import Head, Kafka, Log

HEADS_WITHIN_S = 2.0
ATTEMPTS = 3
SMALL_FETCH_BYTES = 64 << 10  # one record of each partition is all that is wanted
RECORDS_OF_A_FETCH = 100  # about as many as come along: a poll for each would be dearer
NO_BROKER = "No Kafka broker answers at {}: start one, or correct kafka.bootstrap."

Offsets = Mapping[TopicPartition, int]


class _Source(msgspec.Struct):
    ts_us: int


class _Envelope(msgspec.Struct):
    op: str
    source: _Source


_decode = msgspec.json.Decoder(_Envelope).decode


@contextmanager
def kafka_consumer(
    brokers: Brokers,
    *,
    fetch_bytes: int = SMALL_FETCH_BYTES,
    within_ms: int = ANSWER_WITHIN_S * 1000,
) -> Iterator[kafka.KafkaConsumer]:
    """A consumer without a group, which leaves no trace on the brokers. Raises Away."""
    settings = {
        "group_id": None,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": fetch_bytes,
        "bootstrap_timeout_ms": CONNECT_WITHIN_S * 1000,
        "request_timeout_ms": within_ms,
        "metrics_enabled": False,
    }
    with answering(brokers, partial(kafka.KafkaConsumer, **settings)) as consumer:
        try:
            yield consumer
        finally:
            consumer.close(autocommit=False)


@contextmanager
def answering(brokers: Brokers, open_: Callable[..., Any]) -> Iterator[Any]:
    """A client of kafka-python while it is asked; whoever asks closes it. Raises Away."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what goes wrong is told by Away
    try:
        client = open_(**brokers.client())
    except (kafka.errors.KafkaError, OSError) as error:
        raise Away(NO_BROKER.format(brokers.bootstrap)) from error
    try:
        yield client
    except (kafka.errors.KafkaError, OSError) as error:
        raise Away(f"Kafka at {brokers.bootstrap} did not answer a question ({error}).") from error


Wanted = tuple[Mapping[str, tuple[Sequence[str], Offsets]], str]
"""Of each sink of a pipeline the topics and the next offsets; and the topic of its heartbeats."""


@contextmanager
def log_reader(brokers: Brokers) -> Iterator["LogReader"]:
    """One with a connection of its own. Raises Away."""
    with kafka_consumer(brokers) as consumer:
        yield LogReader(consumer)


def read_kafka(
    brokers: Brokers, sinks: Mapping[str, tuple[Sequence[str], Offsets]], beats: str
) -> Kafka:
    """The logs of one pipeline, over a connection of its own. Raises Away."""
    with log_reader(brokers) as reader:
        return reader.read({"": (sinks, beats)})[""]


class LogReader:
    """The logs of any number of pipelines over one consumer, with few questions to the brokers."""

    def __init__(self, consumer: kafka.KafkaConsumer) -> None:
        self._consumer = consumer
        self._beats: dict[Theirs, tuple[int, int | None]] = {}  # end of the log, and the newest
        self._ids: dict[str, str] = {}
        self._known: dict[tuple[Theirs, int, str], Head] = {}  # of those asked for last time

    def spent_s(self) -> float:
        """CPU that the consumer's own thread has used, which does most of the work."""
        return float(self._consumer._net.run(_thread_time_s))

    def read(self, pipelines: Mapping[str, Wanted]) -> dict[str, Kafka]:
        """Ends of the topics' logs, the record at each sink's next offset, newest heartbeats."""
        of, starts, ends = self._bounds(pipelines)
        beats_at = [at for _, beats in pipelines.values() if (at := Theirs(beats, 0)) in ends]
        self._hear(beats_at, ends)
        asked = [
            (at, offset)
            for sinks, _ in pipelines.values()
            for topics_of_sink, applied in sinks.values()
            for topic in topics_of_sink
            for at in of[topic]
            if starts[at] <= (offset := applied.get(TopicPartition(*at), 0)) < ends[at]
        ]
        heads = self._heads(asked, ends)

        def log(at: Theirs, offset: int) -> Log:
            head = heads.get((at, offset))
            # Nothing but a transaction's marker is left: no record is behind.
            is_done = head is None and (at, offset) in heads
            return Log(starts[at], offset if is_done else ends[at], head)

        found = {}
        for name, (sinks, beats) in pipelines.items():
            logs = {
                sink: {
                    (ours := TopicPartition(*at)): log(at, applied.get(ours, 0))
                    for topic in topics_of_sink
                    for at in of[topic]
                }
                for sink, (topics_of_sink, applied) in sinks.items()
            }
            found[name] = Kafka(logs, self._beats.get(Theirs(beats, 0), (0, None))[1])
        return found

    def _bounds(
        self, pipelines: Mapping[str, Wanted]
    ) -> tuple[dict[str, list[Theirs]], dict[Theirs, int], dict[Theirs, int]]:
        """Of each topic the partitions; of each partition start and end, heartbeats included."""
        topics = {
            t for sinks, _ in pipelines.values() for names, _ in sinks.values() for t in names
        }
        for _ in range(ATTEMPTS):
            known = self._consumer.topics()
            self._ids |= {
                topic: found for topic in topics & known if (found := log_id(self._consumer, topic))
            }
            of = {topic: self._partitions(topic) if topic in known else [] for topic in topics}
            data = [at for each in of.values() for at in each]
            beats = [Theirs(beats, 0) for _, beats in pipelines.values() if beats in known]
            try:
                return of, self._consumer.beginning_offsets(data), self._ends(data + beats)
            except KeyError:  # what it knew of a topic was lost to an answer about others
                continue
        raise kafka.errors.LeaderNotAvailableError()

    def log_id(self, topic: str) -> str:
        """Kafka's id of a topic that was just read: one that was made anew has another."""
        return self._ids.get(topic, "")

    def ends(self, topic: str) -> Offsets:
        """The offset after the last record of each partition; none of a topic that is not there."""
        found = self._ends(self._partitions(topic))
        return {TopicPartition(*at): end for at, end in found.items()}

    def _ends(self, partitions: Sequence[Theirs]) -> dict[Theirs, int]:
        found: dict[Theirs, int] = self._consumer.end_offsets(partitions)
        return {at: found[at] for at in partitions}

    def _partitions(self, topic: str) -> list[Theirs]:
        numbers = self._consumer.partitions_for_topic(topic) or ()
        return [Theirs(topic, number) for number in sorted(numbers)]

    def _hear(self, beats: Sequence[Theirs], ends: Mapping[Theirs, int]) -> None:
        """The newest heartbeats, of the topics where there is a new one."""
        news = [at for at in beats if ends[at] and self._beats.get(at, (0, None))[0] != ends[at]]
        heads = _heads(self._consumer, {at: ends[at] - 1 for at in news}, ends)
        # Where that was a transaction's marker, the record is before it.
        before = {at: ends[at] - 2 for at, head in heads.items() if head is None and ends[at] > 1}
        heads |= _heads(self._consumer, before, ends)
        for at, head in heads.items():
            is_beat = head is not None and not head.is_snapshot
            self._beats[at] = (ends[at], head.committed_at_us if head and is_beat else None)

    def _heads(
        self, asked: Sequence[tuple[Theirs, int]], ends: Mapping[Theirs, int]
    ) -> dict[tuple[Theirs, int], Head | None]:
        """
        A record does not change, so one that still waits is not fetched again. A consumer stands at
        one offset of a partition: where sinks differ, it goes again.
        """
        logs = {topic: self.log_id(topic) for topic in {at.topic for at, _ in asked}}
        found: dict[tuple[Theirs, int], Head | None] = {
            (at, offset): head
            for at, offset in asked
            if (head := self._known.get((at, offset, logs[at.topic])))
        }
        left = set(asked) - found.keys()
        while left:
            this_round = dict(left)
            heads = _heads(self._consumer, this_round, ends)
            found |= {(at, this_round[at]): head for at, head in heads.items()}
            left -= set(this_round.items())
        self._known = {(at, o, logs[at.topic]): head for (at, o), head in found.items() if head}
        return found


async def _thread_time_s() -> float:
    return time.thread_time()


def _heads(
    consumer: kafka.KafkaConsumer, wanted: Mapping[Theirs, int], ends: Mapping[Theirs, int]
) -> dict[Theirs, Head | None]:
    """The first record from each wanted offset; None where there is none before the end."""
    if not wanted:
        return {}
    consumer.assign(list(wanted))
    consumer.resume(*wanted)  # assigned again, a partition stays as paused as it was
    for at, offset in wanted.items():
        consumer.seek(at, offset)
    heads: dict[Theirs, Head | None] = {}
    until_s = time.monotonic() + HEADS_WITHIN_S
    while len(heads) < len(wanted) and time.monotonic() < until_s:
        polled = consumer.poll(200, max_records=RECORDS_OF_A_FETCH * len(wanted))
        for at, records in polled.items():
            consumer.pause(at)
            heads.setdefault(at, _head(records[0]))
        if polled:
            continue  # to ask for a position is dear: it looks at every partition
        for at in wanted.keys() - heads.keys():
            if consumer.position(at) >= ends[at]:
                heads[at] = None
    return heads


def _head(record: Any) -> Head:
    """What is no change event is as old as its record."""
    try:
        envelope = _decode(record.value or b"")
    except (msgspec.MsgspecError, RecursionError):
        return Head(record.offset, record.timestamp * 1000, is_snapshot=False)
    return Head(record.offset, envelope.source.ts_us, is_snapshot=envelope.op == "r")
