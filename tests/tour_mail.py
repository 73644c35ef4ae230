"""Messages of tours by hand: carried before Connect does, in any order, and such as none may be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import kafka
from kafka.structs import TopicPartition as Theirs

from connectors.spec import commands_topic, events_topic
from consumer.deadletter import notes
from sagas.participant import COMMANDS
from sagas.wire import address
from tailrace.config import Kafka as Brokers
from tailrace.harness.topics import records
from tailrace.tour import HEARS, SERVICES, SINK, Tour
from tailrace.wiring import dead_letter_topic
from tests.post import QUERY, record_of

COMMAND = "saga/orchestrated/book-tour/{0}/{1}/do"
ANSWER = "saga/orchestrated/book-tour/{0}/{1}/DONE"
Bad = tuple[str, str, str, str, bytes | None]
BAD: Sequence[Bad] = (
    # topic, who is concerned, aggregate, type, data; {} is a new saga
    ("tours", "hotel", COMMAND.format("hotel", "hotel.reserve"), "hotel.reserve",
     b'{"tour": "{}", "hotel": "hotel-1", "rooms": 0, "nights": 1}'),
    ("tours", "flight", COMMAND.format("flight", "flight.reserve"), "flight.reserve",
     b'{"tour": "{}", "flight": "flight-1", '),
    ("tours", "car", COMMAND.format("car", "car.fly"), "car.reserve",
     b'{"tour": "{}", "car": "car-1", "days": 1}'),
    ("tours", "tickets", COMMAND.format("tickets", "tickets.issue"), "payment.charge",
     b'{"tour": "{}", "people": 1}'),
    ("tours", "payment", COMMAND.format("pay", "payment.charge"), "payment.charge",
     b'{"tour": "{}", "customer": "customer-1", "amount_cents": -5}'),
    ("hotel", "tours", ANSWER.format("hotel", "hotel.reserve"), "hotel.reserved",
     b'{"hotel": "hotel-1", "rooms": 1, "price_cents": "much"}'),
    ("payment", "tours", ANSWER.format("pay", "payment.charge"), "payment.charged", b"[]"),
    ("car", "", "", "", b"no CloudEvent"),
    ("tours", "", "", "", b"\xff\xfe"),
    ("flight", "", "", "", None),
)  # fmt: skip


@dataclass
class Mail:
    """Of one tour; `bad` are the keys of what was forced in, and who has to set each aside."""

    tour: Tour
    bad: dict[str, Sequence[str]] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)

    @property
    def brokers(self) -> Brokers:
        return self.tour.services["tours"].pipeline.kafka

    def mark(self) -> None:
        """From here on `carry` carries."""
        for name in SERVICES:
            with self.tour.connect(name) as connection:
                row = connection.execute("SELECT max(seq) FROM eventstore.outbox").fetchone()
            self._marks[name] = (row[0] if row else None) or 0

    def carry(self, chance: Random) -> int:
        """What is new in the outboxes goes to Kafka in any order; how much it was."""
        found = [(name, record) for name in SERVICES for record in self._new(name)]
        chance.shuffle(found)
        sent = []
        for name, r in found:
            aggregate = dict(r.headers).get("ce_aggregatetype") or b""
            sent.append((self._topic(name, aggregate.decode()), r.key, r.value, r.headers))
        self._send(sent)
        return len(found)

    def spoil(self, bad: Bad) -> str:
        """One of BAD."""
        topic, reader, aggregate, type_, data = bad
        key, saga = f"bad-{len(self.bad)}", str(uuid4())
        said = {
            "ce_specversion": "1.0", "ce_id": key, "ce_source": "chaos", "ce_type": type_,
            "ce_subject": saga, "ce_aggregatetype": aggregate,
        }  # fmt: skip
        headers = [(name, text.encode()) for name, text in said.items()] if reader else []
        to_all = [name for name in SERVICES if events_topic(topic) in HEARS[name]]
        readers = [reader] if reader else to_all
        self.bad[key] = readers
        value = None if data is None else data.replace(b"{}", saga.encode())
        self._send([(self._topic(topic, aggregate), key.encode(), value, headers)])
        return f"{topic}: {data!r:.40}"

    def not_set_aside(self) -> Iterator[str]:
        """Sentences: 22 does not hold."""
        for name in SERVICES:
            letters = records(self.brokers, dead_letter_topic(self._pipeline(name), SINK))
            said = {str(r.key, "utf-8", "replace"): notes(r.headers)["reason"] for r in letters}
            wanted = {key for key, readers in self.bad.items() if name in readers}
            for key in wanted - {key for key, reason in said.items() if reason}:
                yield f"22: {name} has not set {key} aside"
            for key in said.keys() - wanted:
                yield f"22: {name} has set aside what is valid: {said[key]}"
            with self.tour.connect(name) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM eventstore.inbox WHERE source = 'chaos'"
                ).fetchone()
            if row != (0,):
                yield f"22: {name} has taken in what is invalid"

    def _pipeline(self, name: str) -> Any:
        return self.tour.services[name].pipeline

    def _new(self, name: str) -> list[Any]:
        with self.tour.connect(name) as connection:
            rows = connection.execute(QUERY, [self._marks[name]]).fetchall()
        if rows:
            self._marks[name] = rows[-1][0]
        return [record_of(*row) for row in rows]

    def _topic(self, name: str, aggregate: str) -> str:
        """Where Connect would bring it."""
        of = address(aggregate)
        if of is not None and of.word in COMMANDS:
            return self.tour.prefix + commands_topic(name, of.participant)
        return self.tour.prefix + events_topic(name)

    def _send(self, sent: Sequence[tuple[str, bytes | None, bytes | None, Any]]) -> None:
        if not sent:
            return
        producer = kafka.KafkaProducer(metrics_enabled=False, **self.brokers.client())
        for topic, key, value, headers in sent:
            producer.send(topic, value, key, headers).add_errback(_raise)
        producer.close()


def newest(brokers: Brokers, topic: str, number: int) -> list[Any]:
    """The last so many records of each of its partitions."""
    settings = {"enable_auto_commit": False, "metrics_enabled": False, **brokers.client()}
    with kafka.KafkaConsumer(**settings) as consumer:
        parts = [Theirs(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts) if parts else {}
        for part in parts:
            consumer.seek(part, max(0, ends[part] - number))
        found: list[Any] = []
        while any(consumer.position(part) < ends[part] for part in parts):
            for polled in consumer.poll(200).values():
                found += polled
    return found


def _raise(error: BaseException) -> None:
    raise error
