"""
Redis idempotency keys: what Debezium or Kafka delivers again is dropped before the sink sees it.

A change that lies above everything its partition held before (`fresh`) cannot be a repeat, so it
costs no look-up. The others are looked up by event id among the ids that were applied. Ids are
kept packed, 16 bytes each, at most `keep_bytes` a partition, so memory is bounded by construction:
partitions x keep_bytes. What was trimmed counts as new, and the sink's own guards decide (I6).
"""

import time
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import redis

from consumer.errors import Refused
from consumer.event import Batch, ChangeEvent, Mark, TopicPartition, ids
from consumer.facts import Degraded
from consumer.ports import Observer
from consumer.retry import Backoff

ID_BYTES = 16
KEEP_BYTES = 4 << 20  # 262,144 ids a partition: seconds at full speed, hours at most rates
KEEP_S = 7 * 24 * 3600  # the keys of a sink that is gone go, too
TIMEOUT_S = 0.25
_at = attrgetter("record.at")
SCRIPT = (Path(__file__).parent / "dedup.lua").read_text()


class RedisDeduplicator:
    """The keys of one sink under `prefix`. While Redis is away everything counts as unseen."""

    def __init__(
        self,
        url: str,
        prefix: str,
        observe: Observer,
        *,
        keep_bytes: int = KEEP_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
        )
        self._script = self._redis.register_script(SCRIPT)
        self._prefix = prefix
        self._observe = observe
        self._keep_bytes = keep_bytes
        self._clock = clock
        self._unclaimed: dict[TopicPartition, int] = {}
        self._known: dict[TopicPartition, set[bytes]] = {}
        self._backoff = Backoff()
        self._failures = 0
        self._again_at_s = 0.0
        self._checked = False

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        """Before an id is trusted, ids from beyond the sink's own offset are forgotten."""
        self._unclaimed = {at: mark.next_offset for at, mark in marks.items()}
        self._known.clear()

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        suspects = {event.record.at for event in events if not event.fresh}
        self._known = {at: ids for at, ids in self._known.items() if at in suspects}
        if not suspects or not self._reachable():
            return events
        try:
            self._claim()
            for at in suspects - self._known.keys():
                self._known[at] = self._load(at)
        except redis.RedisError as error:
            self._failed(error)
            return events
        known = self._known
        return [
            event
            for event, id_ in zip(events, ids(events), strict=True)
            if event.fresh or id_ not in known[event.record.at]
        ]

    def remember(self, batch: Batch) -> None:
        packed: dict[TopicPartition, list[bytes]] = {at: [] for at in batch.spans}
        for at, events in groupby(batch.changes, key=_at):
            packed[at] += ids(list(events))
        for at, known in self._known.items():
            known.update(packed.get(at, ()))
        if not self._reachable():
            return
        try:
            self._claim()
            keys: list[str] = []
            args: list[str | int | bytes] = ["remember", self._keep_bytes, KEEP_S]
            for at, span in batch.spans.items():
                keys += self._keys(at)
                args += [span.stop, b"".join(packed[at])]
            self._script(keys, args)
            if self._failures:
                self._failures = 0
                self._observe(Degraded(None))
        except redis.RedisError as error:
            self._failed(error)

    def _load(self, at: TopicPartition) -> set[bytes]:
        blobs: Any = self._redis.lrange(self._keys(at)[1], 0, -1)
        return {blob[i : i + ID_BYTES] for blob in blobs for i in range(0, len(blob), ID_BYTES)}

    def _claim(self) -> None:
        if not self._checked:
            self._check_policy()
        if self._unclaimed:
            keys = [key for at in self._unclaimed for key in self._keys(at)]
            self._script(keys, ["claim", *self._unclaimed.values()])
            self._unclaimed = {}

    def _check_policy(self) -> None:
        info: Mapping[str, object] = self._redis.info("memory")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise Refused(
                f"Redis has maxmemory-policy {policy}, so it may drop idempotency keys by itself: "
                "set `maxmemory-policy noeviction`, or name another Redis in `redis.url`"
            )
        self._checked = True

    def _keys(self, at: TopicPartition) -> tuple[str, str]:
        # One hash tag a sink: a Redis cluster runs a script only where all its keys are.
        key = f"{{{self._prefix}}}:{at.topic}:{at.partition}"
        return key, f"{key}:ids"

    def _reachable(self) -> bool:
        return self._clock() >= self._again_at_s

    def _failed(self, error: redis.RedisError) -> None:
        self._failures += 1
        self._again_at_s = self._clock() + self._backoff.delay_s(self._failures)
        self._checked = False
        self._observe(Degraded(f"{type(error).__name__}: {error}"))

    def close(self) -> None:
        self._redis.close()


class SinkDecides:
    """No Redis keys: for a sink that knows a repeat by more than key and place."""

    def start(self, marks: Mapping[TopicPartition, Mark]) -> None:
        pass

    def unseen(self, events: list[ChangeEvent]) -> list[ChangeEvent]:
        return events

    def remember(self, batch: Batch) -> None:
        pass

    def close(self) -> None:
        pass
