"""
Dead letters: a Kafka topic of records that could not be applied, as they came, with the reason.

Key, value and headers stay as they were; what happened is in headers of its own, so that a letter
can be sent again as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import kafka
import kafka.errors

from consumer.errors import Busy, Unreachable
from consumer.event import DeadLetter

HEADER = "tailrace."
DURABLE_WITHIN_S = 30.0


class KafkaDeadLetters:
    """Raises Unreachable if no broker answers when it is made."""

    def __init__(
        self, topic: str, sink: str, bootstrap: str, security: Mapping[str, Any] | None = None
    ) -> None:
        self._topic = topic
        self._sink = sink
        try:
            self._producer = kafka.KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_request_size=64 << 20,
                max_block_ms=10_000,
                bootstrap_timeout_ms=10_000,
                metrics_enabled=False,
                **(security or {}),
            )
        except (kafka.errors.KafkaError, OSError) as error:
            raise Unreachable(f"no Kafka broker answers at {bootstrap} ({error})") from error

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Raises Busy unless every one is durable: then none counts as put."""
        try:
            sent = [
                self._producer.send(
                    self._topic,
                    key=letter.record.key,
                    value=letter.record.value,
                    headers=[*letter.record.headers, *self._headers(letter)],
                )
                for letter in letters
            ]
            for future in sent:
                future.get(timeout=DURABLE_WITHIN_S)
        except kafka.errors.KafkaError as error:
            raise Busy(
                f"dead letters cannot be written to {self._topic} ({error}): the topic must exist, "
                "be writable, and take messages as large as the tables' topics do"
            ) from error

    def close(self) -> None:
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
        }
        return [(HEADER + name, fact.encode()) for name, fact in facts.items()]
