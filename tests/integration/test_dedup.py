"""Idempotency keys on a real server that speaks Redis' protocol."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from consumer.dedup import ID_BYTES, RedisDeduplicator
from consumer.errors import Refused
from consumer.event import FIRST, Batch, Mark
from consumer.facts import Degraded
from devstack import Endpoints
from devstack.process import free_ports
from tests.builders import P0, Log, key, value
from tests.fakes import Facts


@pytest.fixture
def prefix() -> str:
    return f"test.{secrets.token_hex(4)}"


@pytest.fixture
def server(endpoints: Endpoints) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(endpoints.redis) as client:
        yield client


def opened(
    endpoints: Endpoints, prefix: str, facts: Facts | None = None, **options: Any
) -> RedisDeduplicator:
    return RedisDeduplicator(endpoints.redis, prefix, facts or Facts(), **options)


def batch_of(log: Log, *lsns: int) -> Batch:
    return log.batch(
        *(log.record(key(id=lsn), value("c", after={"id": lsn}, lsn=lsn)) for lsn in lsns)
    )


def test_what_was_applied_is_dropped_when_it_comes_again(endpoints: Endpoints, prefix: str) -> None:
    log, keys = Log(), opened(endpoints, prefix)
    keys.start({P0: FIRST})
    first = batch_of(log, 10, 11)
    assert keys.unseen(list(first.changes)) == list(first.changes)
    keys.remember(first)
    again = opened(endpoints, prefix)
    again.start({P0: Mark(2, *first.marks[P0][1:])})
    repeats = list(batch_of(log, 10, 11, 12).changes)
    assert [event.position.lsn for event in again.unseen(repeats)] == [12]


def test_what_was_not_remembered_is_let_through(endpoints: Endpoints, prefix: str) -> None:
    """A hole: 10 was applied, 11 never came, and now both are sent again."""
    log, keys = Log(), opened(endpoints, prefix)
    keys.start({P0: FIRST})
    keys.remember(batch_of(log, 10, 13))
    assert [e.position.lsn for e in keys.unseen(list(batch_of(log, 10, 11, 13).changes))] == [11]


def test_memory_is_bounded(endpoints: Endpoints, prefix: str, server: redis.Redis) -> None:
    log, keys = Log(), opened(endpoints, prefix, keep_bytes=10 * ID_BYTES)
    keys.start({P0: FIRST})
    for lsn in range(100, 400, 3):
        keys.remember(batch_of(log, lsn, lsn + 1, lsn + 2))
    packed = server.lrange(f"{{{prefix}}}:{P0.topic}:{P0.partition}:ids", 0, -1)
    assert sum(map(len, packed)) <= 10 * ID_BYTES
    assert server.ttl(f"{{{prefix}}}:{P0.topic}:{P0.partition}:ids") > 0


def test_a_sink_that_was_restored_makes_the_keys_forget(endpoints: Endpoints, prefix: str) -> None:
    log, keys = Log(), opened(endpoints, prefix)
    keys.start({P0: FIRST})
    keys.remember(batch_of(log, 10, 11))
    restored = opened(endpoints, prefix)
    restored.start({P0: FIRST})
    repeats = list(batch_of(log, 10, 11).changes)
    assert restored.unseen(repeats) == repeats


def test_without_redis_everything_counts_as_unseen(endpoints: Endpoints, prefix: str) -> None:
    facts, log = Facts(), Log()
    keys = RedisDeduplicator(f"redis://127.0.0.1:{free_ports(1)[0]}/0", prefix, facts)
    keys.start({P0: FIRST})
    keys.remember(batch_of(log, 10, 11))
    repeats = list(batch_of(log, 10, 11).changes)
    assert keys.unseen(repeats) == repeats
    assert facts.of(Degraded)


def test_it_comes_back_by_itself(
    endpoints: Endpoints, prefix: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, facts, log = [0.0], Facts(), Log()
    keys = RedisDeduplicator(endpoints.redis, prefix, facts, clock=lambda: now[0])
    keys.start({P0: FIRST})
    with monkeypatch.context() as broken:

        def refuse(*_: object, **__: object) -> None:
            raise redis.ConnectionError("gone")

        broken.setattr(keys, "_script", refuse)
        keys.remember(batch_of(log, 10))
    now[0] += 60.0
    keys.remember(batch_of(log, 11))
    assert [fact.reason is None for fact in facts.of(Degraded)] == [False, True]
    assert [e.position.lsn for e in keys.unseen(list(batch_of(log, 11).changes))] == []


def test_a_server_that_evicts_is_refused(
    endpoints: Endpoints, prefix: str, server: redis.Redis
) -> None:
    keys = opened(endpoints, prefix)
    keys.start({P0: FIRST})
    server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(Refused, match="set `maxmemory-policy noeviction`"):
            keys.remember(batch_of(Log(), 10))
    finally:
        server.config_set("maxmemory-policy", "noeviction")
