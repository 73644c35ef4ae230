"""Carries the outbox's rows to services in one process, as Debezium and Kafka do between many."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from consumer.event import Record, TopicPartition
from eventstore import outbox, subscriber_sink
from eventstore.envelope import envelope
from eventstore.subscriber import Subscriber
from eventstore.subscriber_sink import handle_again

QUERY = """
SELECT seq, id, aggregatetype, aggregateid, type, payload, ce_source, dataschema, correlationid
FROM eventstore.outbox WHERE seq > %s ORDER BY seq
"""


def prepare(connection: psycopg.Connection[Any], *services: Subscriber) -> None:
    """What these services need in one database."""
    outbox.create_schema(connection)
    subscriber_sink.create_schema(connection)
    for each in services:
        for ddl in each.tables.values():
            connection.execute(ddl)
        each.ready(connection)


@dataclass
class Post:
    """`sent` are all records so far, to be delivered again by whoever wants to."""

    dsn: str
    services: Sequence[Subscriber]
    sent: list[Record] = field(default_factory=list)
    _last: int = 0

    def carry(self) -> int:
        """Until nobody says anything new; how many messages were handled."""
        count = 0
        while records := self._new():
            self.sent += records
            count += sum(self.deliver(record) for record in records)
        return count

    def deliver(self, record: Record) -> int:
        """To everyone it is for; how many took it as new."""
        said = envelope(record)
        count = 0
        for service in self.services:
            if service.wants(said):
                with psycopg.connect(self.dsn) as connection:
                    count += handle_again(connection, service, record)
        return count

    def _new(self) -> list[Record]:
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(QUERY, [self._last]).fetchall()
        if rows:
            self._last = rows[-1][0]
        return [record_of(*row) for row in rows]


def record_of(
    seq: int, id_: Any, aggregate: str, subject: str, type_: str, payload: Any, *rest: str
) -> Record:
    """A row of the outbox as it comes out of Kafka."""
    import json

    source, dataschema, correlation = rest
    said = {
        "ce_specversion": "1.0", "ce_id": str(id_), "ce_source": source, "ce_type": type_,
        "ce_subject": subject, "ce_aggregatetype": aggregate, "ce_dataschema": dataschema,
        "ce_correlationid": correlation,
    }  # fmt: skip
    headers = [(name, text.encode()) for name, text in said.items() if text]
    at = TopicPartition("post", 0)
    return Record(at, seq, subject.encode(), json.dumps(payload).encode(), headers, 0)
