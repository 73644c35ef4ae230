"""All questions asked at once, and every check judged on the answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from connectors.spec import ConnectorSpec
from tailrace.asking import Away, ask
from tailrace.config import Pipeline
from tailrace.doctor import connect, kafka, redis, sink, source
from tailrace.doctor.check import Check, Line
from tailrace.doctor.read_databases import (
    read_connect,
    read_delivery,
    read_mirror,
    read_sink,
    read_source,
)
from tailrace.doctor.read_queues import read_kafka, read_redis

WITHIN_S = 4.0


@dataclass(frozen=True, slots=True)
class Group:
    """
    The checks of one server. `asked` maps the facts that they need to the questions asked for
    them; the first is about the server itself.
    """

    title: str
    asked: Mapping[str, str]
    checks: Sequence[Check]


def examine(pipeline: Pipeline, spec: ConnectorSpec) -> list[Line]:
    """Every check, in the order of a change's way. What a server keeps from us is unknown."""
    answers = ask(questions(pipeline, spec), WITHIN_S)
    return [line for group in groups(pipeline) for line in judge(group, answers)]


def questions(pipeline: Pipeline, spec: ConnectorSpec) -> dict[str, Callable[[], Any]]:
    """Whom to ask, by name, and how; each opens its own connection."""
    asked: dict[str, Callable[[], Any]] = {
        "the source": partial(read_source, pipeline, spec),
        "Kafka Connect": partial(read_connect, spec),
        "source and Connect": partial(read_delivery, pipeline, spec),
        "Kafka": partial(read_kafka, pipeline, spec),
        "Redis": partial(read_redis, pipeline, spec),
    }
    for name in pipeline.sinks:
        asked[f"sink {name}"] = partial(read_sink, pipeline, name)
        asked[f"sink {name} and source"] = partial(read_mirror, pipeline, name)
    return asked


def groups(pipeline: Pipeline) -> list[Group]:
    """All checks, for each sink its own."""
    delivery = {"connect": "Kafka Connect", "delivery": "source and Connect"}
    return [
        Group("source", {"source": "the source"}, source.CHECKS),
        Group("connect", delivery, connect.CHECKS),
        Group("kafka", {"kafka": "Kafka"}, kafka.CHECKS),
        Group("redis", {"redis": "Redis"}, redis.CHECKS),
        *(
            Group(
                f"sink {name}",
                {"sink": f"sink {name}", "mirror": f"sink {name} and source", "kafka": "Kafka"},
                sink.CHECKS,
            )
            for name in pipeline.sinks
        ),
    ]


def judge(group: Group, answers: Mapping[str, Any]) -> Iterator[Line]:
    """Whether the server answers, then each check, or why it could not be judged."""
    facts = {need: answers[question] for need, question in group.asked.items()}
    server = next(iter(facts.values()))
    if isinstance(server, Away):
        yield Line(group.title, "reachable", "failed", server.sentence)
    else:
        yield Line(group.title, "reachable", "ok", server.where)
    for check in group.checks:
        given = [facts[need] for need in check.needs]
        away = next((fact for fact in given if isinstance(fact, Away)), None)
        if away is not None:
            yield Line(group.title, check.name, "unknown", away.sentence)
            continue
        for verdict in check.judge(*given):
            yield Line(group.title, check.name, verdict.state, verdict.sentence, verdict.fix)
