"""Each check on facts that are in order, and on facts that are not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors import lossless
from connectors.errors import Finding
from connectors.lifecycle import State
from connectors.render import render
from connectors.spec import SourceTable
from consumer.event import TopicPartition
from tailrace.asking import Away
from tailrace.commands import doctor
from tailrace.config import Pipeline
from tailrace.config import Source as SourceSection
from tailrace.doctor import facts
from tailrace.doctor.check import Line
from tailrace.doctor.examination import groups, judge, questions
from tailrace.sections import PostgresSink
from tests.unit.connectors.builders import (
    ROLE,
    SERVER,
    SLOT,
    column,
    publication,
    source,
    spec,
    table,
)

PIPELINE = Pipeline(
    "shop",
    SourceSection("postgresql://db/shop", ("public.orders",), "unchanged-0123456789"),
    {"mirror": PostgresSink("postgresql://db/mirror", ("public.orders",))},
)
TOPIC = "shop.public.orders"
AT = TopicPartition(TOPIC, 0)
SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "86400000",
    "max.message.bytes": "16777216",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}

SOURCE = facts.Source(spec(), "db", source(), 1, 10, None, None, True, 0.0)
CONNECT = facts.Connect(
    spec(),
    "connect",
    False,
    (),
    {lossless.PLAIN_CLASS: "3.7.0.Final", lossless.CONNECTOR_CLASS: "3.7.0.Final"},
    render(spec()),
    (State("connector", "RUNNING", ""), State("task 0", "RUNNING", "")),
)
DELIVERY = facts.Delivery(spec(), True, (), 1200)
KAFKA = facts.Kafka(
    spec(),
    "kafka:9092",
    3,
    {"auto.create.topics.enable": "false"},
    {TOPIC: facts.Topic(1, 3, 0, 0, SETTINGS)},
    {AT: (0, 10)},
)
REDIS = facts.Redis("redis", "noeviction", "master", 1 << 20, 0, 4 << 20, True, "", None)
SINK = facts.Sink("mirror", "db", 1, (TOPIC,), False, {AT: 10}, {}, (), 0.0)
MIRROR = facts.Mirror((), None, ())
WELL: Mapping[str, Any] = {
    "the source": SOURCE,
    "Kafka Connect": CONNECT,
    "source and Connect": DELIVERY,
    "Kafka": KAFKA,
    "Redis": REDIS,
    "sink mirror": SINK,
    "sink mirror and source": MIRROR,
}


def examined(**answers: Any) -> list[Line]:
    """All lines; `answers` instead of those that are well, spaces as underscores."""
    given = dict(WELL) | {name.replace("_", " "): answer for name, answer in answers.items()}
    return [line for group in groups(PIPELINE) for line in judge(group, given)]


def catalogued(**changes: Any) -> facts.Source:
    return replace(SOURCE, catalogue=source(**changes))


def set_to(**settings: str) -> facts.Kafka:
    changed = SETTINGS | {name.replace("_", "."): value for name, value in settings.items()}
    return replace(KAFKA, topics={TOPIC: facts.Topic(1, 3, 0, 0, changed)})


def running(**settings: str) -> facts.Connect:
    changed = render(spec()) | {name.replace("_", "."): value for name, value in settings.items()}
    return replace(CONNECT, running=changed)


def parts(*states: str) -> facts.Connect:
    trace = "java.lang.X: a\nCaused by: org.postgresql.Y: Connection to db refused."
    named = zip(("connector", "task 0"), states, strict=False)
    return replace(CONNECT, states=tuple(State(part, s, trace) for part, s in named))


def obstacle(kind: str, name: str = "t") -> facts.Sink:
    return replace(SINK, obstacles=(facts.Obstacle(kind, "public.orders", name),))


# (group, check, what was asked, its answer, the state it must give, words it must say)
CASES: list[tuple[str, str, str, Any, str, str]] = [
    ("source", "primary", "the source", catalogued(server=replace(SERVER, in_recovery=True)),
     "failed", "name the primary"),
    ("source", "wal level", "the source", catalogued(server=replace(SERVER, wal_level="replica")),
     "failed", "ALTER SYSTEM SET wal_level = logical"),
    ("source", "slots and senders", "the source",
     catalogued(slot=None, server=replace(SERVER, slots=10)), "failed", "TR-SRC-015"),
    ("source", "slots and senders", "the source", replace(SOURCE, senders=10),
     "failed", "max_wal_senders = 20"),
    ("source", "role", "the source", catalogued(role=replace(ROLE, may_replicate=False)),
     "failed", "ALTER ROLE cdc REPLICATION"),
    ("source", "select right", "the source",
     catalogued(tables={"public.orders": table(may_select=False)}), "failed", "GRANT SELECT"),
    ("source", "tables", "the source", catalogued(tables={}), "failed", "no table public.orders"),
    ("source", "keys", "the source", catalogued(tables={"public.orders": table(keys=())}),
     "failed", "no primary key"),
    ("source", "column types", "the source",
     catalogued(tables={"public.orders": table(column("x", "money[]"))}), "failed", "TR-SRC-008"),
    ("source", "publication", "the source", catalogued(publication=None), "failed", "is not there"),
    ("source", "publication", "the source", catalogued(publication=publication(tables={})),
     "failed", "add public.orders"),
    ("source", "replica identity", "the source",
     catalogued(tables={"public.orders": table(column("x", "numeric[]"))}),
     "failed", "REPLICA IDENTITY FULL;"),
    ("source", "control tables", "the source", catalogued(control={"heartbeat": (True, False)}),
     "failed", "tailrace connector apply"),
    ("source", "slot", "the source", catalogued(slot=None), "failed", "no replication slot"),
    ("source", "slot", "the source", catalogued(slot=replace(SLOT, wal_status="lost")),
     "failed", "TR-SRC-012"),
    ("source", "slot", "the source", catalogued(slot=replace(SLOT, wal_status="unreserved")),
     "failed", "about to be lost"),
    ("source", "retained log", "the source", catalogued(slot=None), "unknown", "no slot"),
    ("source", "retained log", "the source", catalogued(slot=replace(SLOT, retained_bytes=3 << 30)),
     "warning", "3.0 GiB"),
    ("source", "retained log", "the source",
     replace(catalogued(slot=replace(SLOT, retained_bytes=6 << 20)), kept_bytes=10 << 20),
     "warning", "6.0 MiB of 10.0 MiB"),
    ("source", "retained log", "the source",
     replace(catalogued(slot=replace(SLOT, retained_bytes=10 << 20)), kept_bytes=10 << 20),
     "failed", "max_slot_wal_keep_size"),
    ("source", "long transactions", "the source",
     replace(SOURCE, longest=facts.Transaction(7, "psql", 1200)), "warning", "backend(7)"),
    ("source", "long transactions", "the source", replace(SOURCE, sees_all_sessions=False),
     "unknown", "GRANT pg_read_all_stats"),
    ("source", "clock", "the source", replace(SOURCE, ahead_s=-3.0), "warning", "3.000 s behind"),
    ("connect", "plugin", "Kafka Connect", replace(CONNECT, plugins={}), "failed", "no Debezium"),
    ("connect", "plugin", "Kafka Connect",
     replace(CONNECT, plugins={**CONNECT.plugins, lossless.PLAIN_CLASS: "3.6.3.Final"}),
     "failed", "3.7 or later"),
    ("connect", "address", "Kafka Connect", replace(CONNECT, public_hosts=("203.0.113.7",)),
     "warning", "203.0.113.7"),
    ("connect", "exactly once", "Kafka Connect",
     replace(CONNECT, spec=replace(spec(), exactly_once=True), refuses_mode="not enabled."),
     "failed", "exactly.once.source.support=enabled"),
    ("connect", "clock", "Kafka Connect", replace(CONNECT, ahead_s=3.0), "warning", "ahead"),
    ("connect", "connector", "Kafka Connect", replace(CONNECT, running=None, states=()),
     "failed", "tailrace connector apply"),
    ("connect", "tasks", "Kafka Connect", parts("RUNNING", "FAILED"), "failed", "worker sees them"),
    ("connect", "tasks", "Kafka Connect", parts("PAUSED", "PAUSED"),
     "failed", "tailrace connector resume"),
    ("connect", "tasks", "Kafka Connect", parts("RUNNING", "RESTARTING"), "failed", "RESTARTING"),
    ("connect", "tasks", "Kafka Connect", parts("RUNNING"), "failed", "no task"),
    ("connect", "tasks", "Kafka Connect", replace(CONNECT, running=None, states=()),
     "unknown", "no connector yet"),
    ("connect", "lossless", "Kafka Connect", running(connector_class=lossless.PLAIN_CLASS),
     "failed", "loses changes on restarts"),
    ("connect", "settings", "Kafka Connect", running(poll_interval_ms="500"),
     "warning", "poll.interval.ms is 500, not 10"),
    ("connect", "settings", "Kafka Connect", running(decimal_handling_mode="double"),
     "failed", "decimal.handling.mode is double, not string"),
    ("connect", "placeholder", "Kafka Connect",
     running(unavailable_value_placeholder="__debezium_unavailable_value"),
     "failed", "set `source.placeholder` back"),
    ("connect", "position", "source and Connect",
     replace(DELIVERY, gaps=(Finding("TR-SRC-013", "The slot is gone."),)), "failed", "TR-SRC-013"),
    ("connect", "heartbeat", "source and Connect", replace(DELIVERY, beat_age_ms=90_000),
     "failed", "not for 90 s"),
    ("connect", "heartbeat", "source and Connect", replace(DELIVERY, beat_age_ms=None),
     "warning", "never"),
    ("connect", "heartbeat", "source and Connect", replace(DELIVERY, is_running=False),
     "unknown", "not running"),
    ("kafka", "topics", "Kafka", replace(KAFKA, topics={TOPIC: None}), "warning", "nothing"),
    ("kafka", "partitions", "Kafka",
     replace(KAFKA, topics={TOPIC: facts.Topic(4, 3, 0, 0, SETTINGS)}), "warning", "has 4"),
    ("kafka", "leaders", "Kafka",
     replace(KAFKA, topics={TOPIC: facts.Topic(1, 3, 1, 0, SETTINGS)}), "failed", "No broker"),
    ("kafka", "leaders", "Kafka",
     replace(KAFKA, topics={TOPIC: facts.Topic(1, 3, 0, 1, SETTINGS)}), "warning", "out of step"),
    ("kafka", "replication", "Kafka",
     replace(KAFKA, topics={TOPIC: facts.Topic(1, 1, 0, 0, SETTINGS)}), "warning", "one copy"),
    ("kafka", "replication", "Kafka", set_to(min_insync_replicas="1"),
     "warning", "min.insync.replicas=2"),
    ("kafka", "election", "Kafka", set_to(unclean_leader_election_enable="true"),
     "warning", "unclean.leader.election.enable=false"),
    ("kafka", "cleanup", "Kafka", set_to(cleanup_policy="compact,delete"),
     "failed", "--add-config cleanup.policy=delete"),
    ("kafka", "retention", "Kafka", set_to(retention_ms="3600000"), "warning", "less than a day"),
    ("kafka", "retention", "Kafka", set_to(retention_bytes="1000"), "warning", "by size"),
    ("kafka", "log of sagas", "Kafka",
     replace(KAFKA, spec=spec(tables=(SourceTable("sagas", "log"),)),
             topics={TOPIC: facts.Topic(1, 3, 0, 0, SETTINGS),
                     "shop.sagas.log": facts.Topic(1, 3, 0, 0, SETTINGS)}),
     "warning", "--entity-name shop.sagas.log --add-config retention.ms=-1"),
    ("kafka", "timestamps", "Kafka",
     set_to(message_timestamp_before_max_ms="9223372036854775807"), "warning", "clock jumps back"),
    ("kafka", "record size", "Kafka", set_to(max_message_bytes="1048588"), "warning", "stops it"),
    ("kafka", "record size", "Kafka",
     replace(KAFKA, topics={TOPIC: facts.Topic(1, 3, 0, 0, None)}), "unknown", "do not let us"),
    ("kafka", "auto-creation", "Kafka",
     replace(KAFKA, broker_settings={"auto.create.topics.enable": "true"}),
     "warning", "auto.create.topics.enable=false"),
    ("kafka", "auto-creation", "Kafka", replace(KAFKA, broker_settings=None), "unknown", "see"),
    ("redis", "primary", "Redis", replace(REDIS, role="slave"), "failed", "its primary"),
    ("redis", "eviction", "Redis", replace(REDIS, policy="allkeys-lru"),
     "failed", "CONFIG SET maxmemory-policy noeviction"),
    ("redis", "persistence", "Redis", replace(REDIS, appends=False),
     "warning", "CONFIG SET appendonly yes"),
    ("redis", "persistence", "Redis", replace(REDIS, appends=False, saves=None), "unknown", "see"),
    ("redis", "persistence", "Redis", replace(REDIS, write_error="it is"), "failed", "its disk"),
    ("redis", "memory", "Redis", replace(REDIS, used_bytes=99, limit_bytes=100),
     "failed", "nearly full"),
    ("redis", "memory", "Redis", replace(REDIS, used_bytes=9, limit_bytes=2 << 20),
     "warning", "up to 4.0 MiB"),
    ("sink mirror", "writable", "sink mirror", replace(SINK, is_read_only=True),
     "failed", "takes no writes"),
    ("sink mirror", "rights", "sink mirror",
     replace(SINK, missing_rights={"table public.orders": ("DELETE", "INSERT")}),
     "failed", "GRANT DELETE, INSERT ON TABLE public.orders"),
    ("sink mirror", "durability", "sink mirror", replace(SINK, unlogged=("public.orders",)),
     "failed", "ALTER TABLE public.orders SET LOGGED;"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("trigger"), "failed", "DISABLE TRIGGER t"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("foreign key"), "failed", "CONSTRAINT t"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("rule"), "failed", "DROP RULE"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("row security", ""), "failed", "hides"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("unique index"), "warning", "DROP INDEX"),
    ("sink mirror", "obstacles", "sink mirror", obstacle("exclusion"), "warning", "trade"),
    ("sink mirror", "clock", "sink mirror", replace(SINK, ahead_s=3.0), "warning", "3.000 s ahead"),
    ("sink mirror", "schema", "sink mirror and source",
     replace(MIRROR, changes=("add column a to t",)), "failed", "tailrace schema apply"),
    ("sink mirror", "schema", "sink mirror and source", replace(MIRROR, refusal="No. [TR-SCH-006]"),
     "failed", "TR-SCH-006"),
    ("sink mirror", "extra columns", "sink mirror and source",
     replace(MIRROR, unfilled=("public.orders.owner",)), "failed", "public.orders.owner"),
    ("sink mirror", "offsets", "sink mirror", replace(SINK, offsets=None), "unknown", "no table"),
    ("sink mirror", "offsets", "Kafka", replace(KAFKA, logs={AT: (15, 20)}), "failed", "deleted 5"),
    ("sink mirror", "offsets", "Kafka", replace(KAFKA, logs={AT: (0, 3)}), "failed", "made anew"),
    ("sink mirror", "offsets", "Kafka", replace(KAFKA, logs={}), "failed", "any more"),
    ("sink mirror", "workers", "sink mirror", replace(SINK, workers=3), "warning", "lower"),
    ("sink mirror", "read model", "sink mirror", replace(SINK, model="not built"),
     "failed", "tailrace projections build mirror"),
    ("sink mirror", "read model", "sink mirror", replace(SINK, model="past"),
     "warning", "tailrace projections drop mirror"),
    ("sink mirror", "read model", "sink mirror", replace(SINK, model="filling"),
     "failed", "is being built"),
]  # fmt: skip


def test_where_all_is_in_order_every_check_is_ok() -> None:
    assert {line.state for line in examined()} == {"ok"}


@pytest.mark.parametrize(
    ("group", "check", "asked", "answer", "state", "words"),
    CASES,
    ids=[f"{case[0]} {case[1]} {case[5]}" for case in CASES],
)
def test_what_is_amiss_is_told_with_the_fix(
    group: str, check: str, asked: str, answer: Any, state: str, words: str
) -> None:
    lines = examined(**{asked.replace(" ", "_"): answer})
    found = [line for line in lines if (line.group, line.check) == (group, check)]
    assert [line.state for line in found] == [state]
    assert words in f"{found[0].sentence} {found[0].fix}"
    assert found[0].sentence.endswith((".", "]"))
    assert found[0].fix or state == "unknown"


def test_every_check_has_such_a_case() -> None:
    checks = {(group.title, check.name) for group in groups(PIPELINE) for check in group.checks}
    assert {(case[0], case[1]) for case in CASES} == checks
    assert len(checks) >= 40


def test_every_question_is_asked_and_answered() -> None:
    assert questions(PIPELINE, spec()).keys() == WELL.keys()


def test_a_server_that_is_away_fails_once_and_leaves_its_checks_unknown() -> None:
    lines = [line for line in examined(Kafka=Away("No broker.")) if line.state != "ok"]
    assert [line.check for line in lines if line.state == "failed"] == ["reachable"]
    assert {line.sentence for line in lines} == {"No broker."}
    assert {line.check for line in lines if line.group == "sink mirror"} == {"offsets", "workers"}


def test_into_a_pipe_each_check_is_a_line_and_each_absence_is_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    doctor._show(
        examined(Kafka=Away("No broker."), Redis=replace(REDIS, policy="x")), Path("a.yaml")
    )
    text = capsys.readouterr().out
    assert text.count("No broker.") == 1
    assert "\x1b" not in text
    assert "  ? unknown topics, partitions, leaders" in text
    assert "            → CONFIG SET maxmemory-policy noeviction\n" in text
    assert text.endswith("40 ok, 2 failed, 13 unknown\n")


def test_a_fix_of_ours_names_the_file_that_was_looked_at() -> None:
    assert doctor._with_file("tailrace schema apply", Path("a.yaml")).endswith("--config a.yaml")
    assert doctor._with_file("tailrace schema apply", Path("pipeline.yaml")).endswith("apply")
    assert doctor._with_file("DROP INDEX a;", Path("a.yaml")) == "DROP INDEX a;"


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._show_json(examined(), Path("a.yaml"))
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["failed"] == 0
    assert found["checks"][0] == {
        "group": "source",
        "check": "reachable",
        "state": "ok",
        "sentence": "db",
        "fix": None,
    }
