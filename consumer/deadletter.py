"""
Dead letters: a Kafka topic of records that could not be applied, as they came, with the reason.

Key, value and headers stay as they were; what happened is in headers of its own, so that a letter
can be sent again as it is.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import kafka
import kafka.errors
from msgspec.structs import astuple

from consumer.errors import Busy
from consumer.event import DeadLetter

HEADER = "tailrace."
DURABLE_WITHIN_S = 30.0
LARGEST_BYTES = 64 << 20


def notes(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """What was noted with a letter, by the names that `KafkaDeadLetters` gives."""
    return {
        name.removeprefix(HEADER): (said or b"").decode(errors="replace")
        for name, said in headers
        if name.startswith(HEADER)
    }


class KafkaDeadLetters:
    """
    Connects, and makes `topic` if it is not there, when the first letter comes.

    Letters are kept until somebody removes them: the topic has no retention.
    """

    def __init__(self, topic: str, sink: str, client: Mapping[str, Any]) -> None:
        self._topic = topic
        self._sink = sink
        self._client = client
        self._producer: kafka.KafkaProducer | None = None

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Raises Busy unless every one is durable: then none counts as put."""
        try:
            producer = self._connect()
            sent = [
                producer.send(
                    self._topic,
                    key=letter.record.key,
                    value=letter.record.value,
                    headers=[*letter.record.headers, *self._headers(letter)],
                )
                for letter in letters
            ]
            for future in sent:
                future.get(timeout=DURABLE_WITHIN_S)
        except (kafka.errors.KafkaError, OSError) as error:
            raise Busy(
                f"dead letters cannot be written to {self._topic} ({error}): the topic must exist, "
                "be writable, and take messages as large as the tables' topics do"
            ) from error

    def _connect(self) -> kafka.KafkaProducer:
        if self._producer is None:
            from kafka.admin import NewTopic  # rarely needed, and large

            admin = kafka.KafkaAdminClient(**self._client)
            try:
                settings = {"retention.ms": "-1", "max.message.bytes": str(LARGEST_BYTES)}
                with suppress(kafka.errors.TopicAlreadyExistsError):
                    admin.create_topics([NewTopic(self._topic, 1, -1, topic_configs=settings)])
            finally:
                admin.close()
            self._producer = kafka.KafkaProducer(
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_request_size=LARGEST_BYTES,
                max_block_ms=10_000,
                metrics_enabled=False,
                **self._client,
            )
        return self._producer

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close()

    def _headers(self, letter: DeadLetter) -> list[tuple[str, bytes]]:
        record = letter.record
        facts = {
            "sink": self._sink,
            "reason": letter.reason,
            "table": letter.table or "",
            "topic": record.at.topic,
            "partition": str(record.at.partition),
            "offset": str(record.offset),
            "timestamp_ms": str(record.timestamp_ms),
            "position": " ".join(map(str, astuple(letter.position))) if letter.position else "",
        }
        return [(HEADER + name, fact.encode()) for name, fact in facts.items()]
