"""Kafka: are the topics there, and do they keep what is in them until it is applied?"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from connectors.spec import LOG
from tailrace.doctor.check import Check, Verdict, failed, ok, some, unknown, warning
from tailrace.doctor.facts import Kafka

SHORT_RETENTION_MS = 24 * 3600 * 1000
LARGEST_RECORD_BYTES = 16 << 20  # what the connector's producer may send
NO_CLOCK_LIMIT_MS = 365 * 24 * 3600 * 1000

Settings = Mapping[str, str]


def topics(kafka: Kafka) -> list[Verdict]:
    """Connect makes a table's topic for its first change."""
    missing = sorted(kafka.topics.keys() - kafka.there.keys())
    if not kafka.there:
        fix = "tailrace connector status"
        return [warning("None of the tables has a topic: nothing has been sent yet.", fix)]
    there = f"{len(kafka.there)} of {len(kafka.topics)} tables have one"
    return [ok(f"{there}; nothing was sent yet of {some(missing)}" if missing else there)]


def partitions(kafka: Kafka) -> list[Verdict]:
    """More than at the beginning: a key's older and newer changes are in different ones."""
    wanted = kafka.spec.partitions
    other = [
        f"{name} has {topic.partitions}"
        for name, topic in kafka.there.items()
        if topic.partitions != wanted
    ]
    if other:
        return [
            warning(
                f"`connect.partitions` is {wanted}, but {some(other)}: set it to what is there."
                " Partitions added to a topic mix up the order of a key; a new one keeps it.",
                f"connect.partitions: {max(topic.partitions for topic in kafka.there.values())}",
            )
        ]
    return _of_topics(kafka, f"{wanted} each")


def leaders(kafka: Kafka) -> list[Verdict]:
    """A partition without one takes and gives nothing."""
    dead = [name for name, topic in kafka.there.items() if topic.leaderless]
    thin = [name for name, topic in kafka.there.items() if topic.thin]
    show = f"kafka-topics.sh --bootstrap-server {kafka.bootstrap} --describe"
    if dead:
        said = f"No broker leads a partition of {some(dead)}: start the brokers that do."
        return [failed(said, f"{show} --unavailable-partitions")]
    if thin:
        said = f"Replicas are out of step in {some(thin)}: a broker is away or slow."
        return [warning(said, f"{show} --under-replicated-partitions")]
    return _of_topics(kafka, "every partition has one, and all replicas are in step")


def replication(kafka: Kafka) -> list[Verdict]:
    """With one copy a broker's disk is all there is; with one in step, no copy is waited for."""
    if kafka.brokers < 2:
        return [ok("a single broker has no other to copy to")]
    single = [name for name, topic in kafka.there.items() if topic.replicas < 2]
    if single:
        return [
            warning(
                f"Of {some(single)} there is one copy among {kafka.brokers} brokers: a lost disk"
                " loses changes. Reassign them with a replication factor of 3.",
                f"kafka-reassign-partitions.sh --bootstrap-server {kafka.bootstrap}"
                " --reassignment-json-file replicas.json --execute",
            )
        ]
    return _each(
        kafka,
        lambda settings: int(settings.get("min.insync.replicas", "1")) < 2,
        "acknowledge(s) a change that only one broker has",
        "min.insync.replicas=2",
        "at least two copies before a change is acknowledged",
    )


def election(kafka: Kafka) -> list[Verdict]:
    """A leader that lacks what was acknowledged forgets it for all."""
    return _each(
        kafka,
        lambda settings: settings.get("unclean.leader.election.enable") == "true",
        "may elect a leader that lacks changes",
        "unclean.leader.election.enable=false",
        "only replicas that have everything may lead",
    )


def cleanup(kafka: Kafka) -> list[Verdict]:
    """Compaction drops changes that a sink has not seen, and deletes after a day."""
    return _each(
        kafka,
        lambda settings: "compact" in settings.get("cleanup.policy", "delete"),
        "is compacted, which drops changes that no sink has applied yet",
        "cleanup.policy=delete",
        "delete by age, no compaction",
        failed,
    )


def retention(kafka: Kafka) -> list[Verdict]:
    """A worker that stops for longer than this has lost changes."""

    def is_short(settings: Settings) -> bool:
        kept_ms, kept_bytes = (
            int(settings.get(name, "-1")) for name in ("retention.ms", "retention.bytes")
        )
        return 0 <= kept_ms < SHORT_RETENTION_MS or kept_bytes >= 0

    kept = [
        int(topic.settings.get("retention.ms", "-1"))
        for topic in kafka.there.values()
        if topic.settings is not None
    ]
    least = min((kept_ms for kept_ms in kept if kept_ms >= 0), default=-1)
    said = "for ever" if least < 0 else f"{least / SHORT_RETENTION_MS:.1f} days"
    return _each(
        kafka,
        is_short,
        "keep(s) changes for less than a day, or by size, so a stopped worker soon loses some",
        f"retention.ms={kafka.spec.retention_ms},retention.bytes=-1",
        f"changes are kept {said}",
    )


def log_of_sagas(kafka: Kafka) -> list[Verdict]:
    """Its topic is the copy that nobody in the database can change."""
    logs = {name: topic for name, topic in kafka.there.items() if name.endswith(f".{LOG}")}
    if not kafka.spec.has_log:
        return [ok("not captured")]
    return _each(
        replace(kafka, topics=logs),
        lambda settings: settings.get("retention.ms") != "-1",
        "forget(s) the log of sagas, which nothing else has",
        "retention.ms=-1",
        "kept for ever",
    )


def timestamps(kafka: Kafka) -> list[Verdict]:
    """Retention goes by a record's time, which a Connect worker's clock makes up."""
    return _each(
        kafka,
        lambda settings: (
            settings.get("message.timestamp.type") == "CreateTime"
            and int(settings.get("message.timestamp.before.max.ms", "0")) > NO_CLOCK_LIMIT_MS
        ),
        "take(s) records of any age, so when a worker's clock jumps back retention deletes them",
        "message.timestamp.before.max.ms=86400000",
        "records with a time far off are refused or stamped by the broker",
    )


def record_size(kafka: Kafka) -> list[Verdict]:
    """One row that is too large stops the connector."""
    return _each(
        kafka,
        lambda settings: int(settings.get("max.message.bytes", "0")) < LARGEST_RECORD_BYTES,
        "refuse(s) rows that the connector may send, and the first one stops it",
        f"max.message.bytes={LARGEST_RECORD_BYTES}",
        f"up to {LARGEST_RECORD_BYTES >> 20} MiB",
    )


def auto_create(kafka: Kafka) -> list[Verdict]:
    """A topic made by accident has the broker's settings, not the connector's."""
    if kafka.broker_settings is None:
        return [unknown("The brokers do not let us see their settings.")]
    if kafka.broker_settings.get("auto.create.topics.enable") == "true":
        return [
            warning(
                "Brokers make any topic that somebody asks for, with settings of their own:"
                " a misspelt name then looks like an empty table.",
                "auto.create.topics.enable=false in every broker's server.properties",
            )
        ]
    return [ok("topics are made on purpose only")]


def _each(
    kafka: Kafka,
    is_wrong: Callable[[Settings], bool],
    trouble: str,
    setting: str,
    fine: str,
    verdict: Callable[[str, str], Verdict] = warning,
) -> list[Verdict]:
    """One verdict on a setting of all topics that are there."""
    hidden = [name for name, topic in kafka.there.items() if topic.settings is None]
    wrong = sorted(
        name
        for name, topic in kafka.there.items()
        if topic.settings is not None and is_wrong(topic.settings)
    )
    if wrong:
        alter = (
            f"kafka-configs.sh --bootstrap-server {kafka.bootstrap} --alter --entity-type topics"
        )
        names = f"--entity-name {wrong[0]} --add-config {setting}"
        return [verdict(f"{some(wrong)} {trouble}.", f"{alter} {names}")]
    if hidden:
        return [unknown("The brokers do not let us see the settings of topics.")]
    return _of_topics(kafka, fine)


def _of_topics(kafka: Kafka, fine: str) -> list[Verdict]:
    return [ok(fine) if kafka.there else unknown("There is no topic yet.")]


CHECKS = tuple(
    Check(name, ("kafka",), judge)
    for name, judge in (
        ("topics", topics),
        ("partitions", partitions),
        ("leaders", leaders),
        ("replication", replication),
        ("election", election),
        ("cleanup", cleanup),
        ("retention", retention),
        ("log of sagas", log_of_sagas),
        ("timestamps", timestamps),
        ("record size", record_size),
        ("auto-creation", auto_create),
    )
)
