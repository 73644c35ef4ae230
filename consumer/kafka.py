"""
Kafka as the loop's source, over kafka-python.

Where to read comes from the sink, never from Kafka: a newly assigned partition stays paused until
the worker has asked the sink. kafka-python calls the rebalance listener on its own I/O thread, so
the listener only notes what happened; the loop sees it in its next `poll` or `hold`.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import crc32c  # noqa: F401 - without it kafka-python checks CRCs in Python, 100 times slower
import kafka
import kafka.errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as Theirs

from consumer.errors import Busy, Fenced, LogLost, Rebalanced, Refused, Unreachable
from consumer.event import Mark, Record, Span, TopicPartition
from consumer.records import log_id, record_of, use_flat_reader

JOIN_WITHIN_MS = 8_000  # within the time in which a loop must be seen to turn
COMMIT_EVERY_S = 0.25  # for lag displays; more often would cost a request a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Of one poll. `wait_ms`: how long to wait for a first record when there is none. `gather_ms`: how
    long after the last records the next are asked for, so that more come at once.

    `takeover_ms`: by then another member has been given what one that fell silent was reading.
    Kafka's session time-out, six tenths of it, is 6 s by a broker's defaults at least.
    """

    max_events: int = 10_000
    max_bytes: int = 8 << 20
    wait_ms: int = 200
    gather_ms: int = 0
    takeover_ms: int = 10_000


class KafkaSource:
    """
    Reads `topics` as a member of `group`. `instance` makes it a static member: after a restart
    under the same name it has its partitions back at once, without a rebalance.

    `client` says how to reach the brokers, in kafka-python's words.

    Raises Unreachable if no broker answers, LogLost if the log no longer holds what is wanted.
    """

    def __init__(
        self,
        topics: Collection[str],
        *,
        group: str,
        client: Mapping[str, Any],
        limits: Limits,
        instance: str | None = None,
    ) -> None:
        self._limits = limits
        self._max_records = limits.max_events
        self._assigned: frozenset[TopicPartition] | None = None  # set: not yet taken over
        self._owned: frozenset[TopicPartition] = frozenset()
        self._uncommitted: dict[TopicPartition, Span] = {}
        self._committed_at_s = 0.0
        self._next_poll_s = 0.0
        self._asked_again_for: object = None  # topics and partitions, as the group knew them
        try:
            self._consumer = kafka.KafkaConsumer(
                client_id=instance or group,
                group_id=group,
                group_instance_id=instance,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                check_crcs=True,
                max_poll_records=limits.max_events,
                fetch_max_bytes=max(limits.max_bytes // 2, 1 << 20),
                max_partition_fetch_bytes=max(limits.max_bytes // 2, 1 << 20),
                session_timeout_ms=limits.takeover_ms * 6 // 10,
                heartbeat_interval_ms=limits.takeover_ms // 10,
                metadata_max_age_ms=3_000,  # how soon a new topic is seen
                bootstrap_timeout_ms=10_000,
                metrics_enabled=False,
                **client,
            )
        except (kafka.errors.KafkaError, OSError) as error:
            raise Unreachable(
                f"no Kafka broker answers at {','.join(client['bootstrap_servers'])} ({error}): "
                "is it up, is `kafka.bootstrap` right, and does it take `kafka.username`?"
            ) from error
        self._flat = use_flat_reader(self._consumer)
        # kafka-python drops this setting on its way; Connect makes topics, with their settings.
        self._consumer._client.cluster.config["allow_auto_create_topics"] = False
        # Joining before the topics are known may end in an assignment of none of them.
        self._consumer.topics()
        self._consumer.subscribe(sorted(topics), listener=_Listener(self))

    def poll(self) -> Mapping[TopicPartition, Sequence[Record]]:
        if (early_s := self._next_poll_s - time.monotonic()) > 0:
            time.sleep(early_s)
        try:
            self._join()
            polled = self._consumer.poll(self._limits.wait_ms, max_records=self._max_records)
        except (
            kafka.errors.OffsetOutOfRangeError,
            kafka.errors.LogTruncationError,
            kafka.errors.NoOffsetForPartitionError,
        ) as error:
            raise LogLost(
                f"Kafka no longer holds what the sink wants next ({error}): retention or a new "
                "topic took it. Take a new snapshot of these tables, then start again"
            ) from error
        except kafka.errors.FencedInstanceIdError as error:
            raise Fenced(
                "another process has joined the group under this instance's name"
            ) from error
        except kafka.errors.AuthorizationError as error:
            raise Refused(
                f"Kafka does not let this worker read ({error}): grant its name Read on the "
                "tables' topics and on groups that begin with `tailrace.`"
            ) from error
        except kafka.errors.RetriableError as error:
            raise Busy(
                f"Kafka's brokers are away ({error}): start them; nothing is lost"
            ) from error
        self._raise_if_rebalanced()
        self._commit_if_due()
        if not polled:
            return {}
        self._next_poll_s = time.monotonic() + self._limits.gather_ms / 1000
        if not self._flat:
            polled = {at: [record_of(r) for r in records] for at, records in polled.items()}
        records = {TopicPartition(*at): found for at, found in polled.items()}
        self._limit_bytes(records)
        return records

    def start(self, marks: Mapping[TopicPartition, Mark]) -> Mapping[TopicPartition, Mark]:
        known = {at: mark._replace(log=self._log_of(at, mark)) for at, mark in marks.items()}
        for at, mark in marks.items():
            try:
                self._consumer.seek(Theirs(*at), mark.next_offset)
                self._consumer.resume(Theirs(*at))
            except ValueError:
                return known  # taken away again meanwhile: the next poll says so
        self._owned = frozenset(marks)
        return known

    def _log_of(self, at: TopicPartition, mark: Mark) -> str:
        """Kafka's id of the topic. Raises LogLost if the sink's offset counts in another log."""
        log = log_id(self._consumer, at.topic)
        if mark.log and log and mark.log != log:
            raise LogLost(
                f"topic {at.topic} was deleted and made anew, so offset {mark.next_offset} means "
                "nothing in it. Take a new snapshot of its table, and in the target's "
                "tailrace.offsets set next_offset to 0 and log to '' where topic is this one: the "
                "rest of the row lets the snapshot win over older rows"
            )
        return log

    def commit(self, spans: Mapping[TopicPartition, Span]) -> None:
        self._uncommitted.update(spans)
        self._commit_if_due()

    def hold(self, seconds: float) -> None:
        held = [Theirs(*at) for at in self._owned if at in self._consumer.assignment()]
        self._consumer.pause(*held)
        try:
            until_s = time.monotonic() + seconds
            try:
                self._join()
                self._consumer.poll(int(seconds * 1000))
            except kafka.errors.RetriableError:  # the brokers are away: `poll` says so
                time.sleep(max(0.0, until_s - time.monotonic()))
            self._raise_if_rebalanced()
        finally:
            still = self._consumer.assignment()
            self._consumer.resume(*(at for at in held if at in still and self._assigned is None))

    def close(self) -> None:
        """Commits what is known to be applied and leaves the group."""
        self._commit_if_due(now=True)
        self._consumer.close(autocommit=False)

    def _join(self) -> None:
        """
        Join with time enough. A poll that times out in the middle of a join leaves partitions
        that kafka-python neither reads nor gives back (seen with 3.0.12); then join again.
        """
        coordinator = self._consumer._coordinator
        if not coordinator.poll(timeout_ms=JOIN_WITHIN_MS) and coordinator.coordinator_unknown():
            raise kafka.errors.CoordinatorNotAvailableError
        if coordinator.need_rejoin():
            return
        states = list(self._consumer._subscription.assignment.values())
        known = coordinator._metadata_snapshot
        # It may have joined before a topic was known: if it got none of it, once more.
        has_none = not states and any(known.values()) and known != self._asked_again_for
        if has_none:
            self._asked_again_for = known
        if has_none or any(state._pending_revocation for state in states):
            coordinator.request_rejoin()

    def _raise_if_rebalanced(self) -> None:
        if (assigned := self._assigned) is not None:
            self._assigned = None
            self._owned = frozenset()
            self._uncommitted.clear()
            raise Rebalanced(assigned)

    def _commit_if_due(self, *, now: bool = False) -> None:
        if not self._uncommitted:
            return
        if now or time.monotonic() - self._committed_at_s > COMMIT_EVERY_S:
            offsets = {
                Theirs(*at): OffsetAndMetadata(span.stop, "", -1)
                for at, span in self._uncommitted.items()
            }
            self._consumer.commit_async(offsets)
            self._uncommitted.clear()
            self._committed_at_s = time.monotonic()

    def _limit_bytes(self, polled: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """The next poll takes as many records as fit into `max_bytes` at the present size."""
        sampled = [
            record for records in polled.values() for record in records[:: len(records) // 16 + 1]
        ]
        mean_bytes = sum(len(record.value or b"") for record in sampled) / len(sampled) + 100
        fitting = int(self._limits.max_bytes / mean_bytes)
        self._max_records = max(1, min(self._limits.max_events, fitting))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # of an untyped package
    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Nothing to do: a batch in flight is either done before its new owner asks, or fenced."""

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        source = self._source
        for at in assigned:
            # A position, so that Kafka's own is not asked for; paused, so that it is not read.
            source._consumer.seek(at, 0)
            source._consumer.pause(at)
        source._assigned = frozenset(TopicPartition(*at) for at in assigned)
