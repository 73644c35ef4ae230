"""
What the servers of one pipeline answered last, and what is remembered from before. No I/O.

An Away in place of an answer is the sentence why there is none; None, that nobody answered yet.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from consumer.event import TopicPartition
from supervision.waiting import Waiting
from tailrace.asking import Away
from tailrace.lag import Kafka, Source
from tailrace.watch import partition_state, source_state, states
from tailrace.watch.budget import Limits
from tailrace.watch.probes import Connector, Seen, WorkersAnswer
from tailrace.watch.skew import worth_showing
from tailrace.watch.states import Verdict
from tailrace.watch.view import Skew

Offsets = Mapping[TopicPartition, int]


class KafkaAnswer(NamedTuple):
    """
    What each sink had applied before, None where that is not known; then Kafka's logs: in this
    order nothing seems done that is not. `parked`: open dead letters of each sink.
    """

    applied: Mapping[str, Offsets | None]
    kafka: Kafka
    parked: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """The newest answer of each server, and what the pipeline's file says."""

    name: str
    slot: str
    tables: Sequence[str]
    topics: Mapping[str, Sequence[str]]
    interval_s: float
    heartbeat_interval_ms: int
    allowed_lag_s: float
    budget_limits: Limits
    source: Seen[Source] | Away | None
    kafka: Seen[KafkaAnswer] | Away | None
    connect: Seen[Connector | None] | Away | None
    redis: Seen[Mapping[str, Any]] | Away | None
    workers: Seen[list[WorkersAnswer]] | Away | None
    sinks_away: Mapping[str, str | None]
    sinks_seen_at_s: Mapping[str, float | None]
    skews: Mapping[str, Skew | None]
    waiting: Mapping[str, Waiting] = field(default_factory=dict)


def window() -> deque[Any]:
    """Twice what a verdict rests on, so that looks which learned nothing push nothing out."""
    return deque(maxlen=2 * states.WINDOW)


@dataclass
class Memory:
    """
    Windows of samples by what they are of, and the verdict on each. `counted`: sinks whose parked
    records were counted once; later they are not known for a look or so at a time.
    """

    partitions: dict[tuple[str, TopicPartition], deque[partition_state.Sample]] = field(
        default_factory=dict
    )
    source: deque[source_state.Sample] = field(default_factory=window)
    verdicts: dict[object, Verdict] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    def since(self, of: object, verdict: Verdict, now_s: float) -> Verdict:
        """The verdict, with the time since when it has been so."""
        self.verdicts[of] = states.continued(verdict, self.verdicts.get(of), now_s)
        return self.verdicts[of]


def wrong_clocks(answers: Answers) -> list[Skew]:
    """Those whose skew is worth showing, and putting right."""
    return [skew for skew in answers.skews.values() if skew and worth_showing(skew)]


def why_away(found: object) -> str | None:
    """The sentence of an Away."""
    return found.sentence if isinstance(found, Away) else None


def beat_overdue_s(answers: Answers) -> float | None:
    """How late the next heartbeat is in Kafka; all that was committed before the last is there."""
    found, kafka = answers.source, answers.kafka
    if not isinstance(found, Seen) or not isinstance(kafka, Seen):
        return None
    beat_us = kafka.answer.kafka.beat_at_us
    if beat_us is None:
        return None
    age_s = kafka.answered_at_s + found.answer.ahead_s - beat_us / 1e6
    return max(0.0, age_s - 2 * answers.heartbeat_interval_ms / 1000)
