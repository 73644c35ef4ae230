"""Asking Kafka and Redis for facts. All of it raises Away, naming the server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import kafka
import kafka.errors
import redis
from kafka.admin import ConfigResource, OffsetSpec
from kafka.structs import TopicPartition as Theirs

from connectors.spec import ConnectorSpec
from consumer.dedup import KEEP_BYTES
from consumer.event import TopicPartition
from tailrace.asking import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Away
from tailrace.config import Kafka as Brokers
from tailrace.config import Pipeline
from tailrace.doctor import facts
from tailrace.logs import answering
from tailrace.wiring import topic_of, topics_of


def read_kafka(pipeline: Pipeline, spec: ConnectorSpec) -> facts.Kafka:
    """The tables' topics with their settings and ends, and the brokers' settings."""
    tables = [topic_of(pipeline, table) for table in pipeline.source.tables]
    followed = [topic for sink in pipeline.sinks for topic in topics_of(pipeline, sink)]
    wanted = list(dict.fromkeys([*tables, *followed]))
    with _admin(pipeline.kafka) as admin:
        cluster = admin.describe_cluster()
        there = [topic for topic in admin.describe_topics(wanted) if not topic["error_code"]]
        names = [topic["name"] for topic in there]
        settings = _settings(admin, "TOPIC", names)
        broker = str(cluster["brokers"][0]["broker_id"])
        return facts.Kafka(
            spec=spec,
            bootstrap=pipeline.kafka.bootstrap,
            brokers=len(cluster["brokers"]),
            broker_settings=_settings(admin, "BROKER", [broker]).get(broker),
            topics=dict.fromkeys(wanted)
            | {topic["name"]: _topic(topic, settings.get(topic["name"])) for topic in there},
            logs=_logs(admin, there),
        )


@contextmanager
def _admin(brokers: Brokers) -> Iterator[kafka.KafkaAdminClient]:
    settings = {
        "bootstrap_timeout_ms": CONNECT_WITHIN_S * 1000,
        "request_timeout_ms": ANSWER_WITHIN_S * 1000,
    }
    with answering(brokers, partial(kafka.KafkaAdminClient, **settings)) as admin:
        try:
            yield admin
        finally:
            admin.close()


def _topic(described: Mapping[str, Any], settings: Mapping[str, str] | None) -> facts.Topic:
    partitions = described["partitions"]
    return facts.Topic(
        partitions=len(partitions),
        replicas=min((len(each["replica_nodes"]) for each in partitions), default=0),
        leaderless=sum(each["leader_id"] < 0 for each in partitions),
        thin=sum(len(each["isr_nodes"]) < len(each["replica_nodes"]) for each in partitions),
        settings=settings,
    )


def _settings(
    admin: kafka.KafkaAdminClient, kind: str, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """By name; those that we may not see are left out."""
    if not names:
        return {}
    asked = [ConfigResource(kind, name) for name in names]
    try:
        answer = admin.describe_configs(asked, config_filter="all").get(kind.lower(), {})
    except kafka.errors.AuthorizationError:
        return {}
    return {
        name: {key: str(value["value"]) for key, value in found.items()}
        for name, found in answer.items()
        if found
    }


def _logs(
    admin: kafka.KafkaAdminClient, topics: Sequence[Mapping[str, Any]]
) -> dict[TopicPartition, tuple[int, int]]:
    at = [
        Theirs(topic["name"], each["partition_index"])
        for topic in topics
        for each in topic["partitions"]
        if each["leader_id"] >= 0
    ]
    starts = admin.list_partition_offsets(dict.fromkeys(at, OffsetSpec.EARLIEST))
    ends = admin.list_partition_offsets(dict.fromkeys(at, OffsetSpec.LATEST))
    return {TopicPartition(*each): (starts[each].offset, ends[each].offset) for each in at}


def read_redis(pipeline: Pipeline, spec: ConnectorSpec) -> facts.Redis:
    """How it treats the keys it is given."""
    client = redis.Redis.from_url(
        pipeline.redis.url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=CONNECT_WITHIN_S,
        retry=None,
    )
    where = _where(client)
    try:
        with client:
            info: Any = client.info()
            saves = _saves(client)
    except redis.RedisError as error:
        raise Away(f"{where} does not answer ({error}): start it, or correct redis.url.") from error
    partitions = spec.partitions * sum(len(sink.tables) for sink in pipeline.sinks.values())
    statuses = ("aof_last_write_status", "rdb_last_bgsave_status")
    wrong = [name for name in statuses if info.get(name, "ok") != "ok"]
    return facts.Redis(
        where=where,
        policy=str(info.get("maxmemory_policy", "noeviction")),
        role=str(info.get("role", "master")),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        needed_bytes=partitions * KEEP_BYTES,
        appends=bool(info.get("aof_enabled")),
        saves=saves,
        write_error=f"{wrong[0]} is {info[wrong[0]]}" if wrong else None,
    )


def _saves(client: redis.Redis) -> str | None:
    try:
        found: Any = client.config_get("save")
    except redis.ResponseError:
        return None
    return str(found.get("save", ""))


def _where(client: redis.Redis) -> str:
    """The address alone: the URL may hold a password."""
    at = client.connection_pool.connection_kwargs
    return f"Redis at {at.get('path') or '{}:{}'.format(at.get('host'), at.get('port'))}"
