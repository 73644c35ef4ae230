"""A sink's database: may it be written, and does nothing in it get in the way?"""

from collections.abc import Mapping

from tailrace.doctor.check import (
    SNAPSHOT_ANEW,
    Check,
    Verdict,
    failed,
    ok,
    some,
    unknown,
    warning,
)
from tailrace.doctor.clock import clock
from tailrace.doctor.facts import Kafka, Mirror, Sink
from tailrace.lag import Log, lost

_OBSTACLES: Mapping[str, tuple[str, str]] = {
    "trigger": (
        "fires for rows that were already handled in the source",
        "ALTER TABLE {relation} DISABLE TRIGGER {name};",
    ),
    "foreign key": (
        "refuses changes, since those of several tables come in an order of their own",
        "ALTER TABLE {relation} DROP CONSTRAINT {name};",
    ),
    "rule": ("rewrites what a sink writes", "DROP RULE {name} ON {relation};"),
    "unique index": (
        "may refuse rows that trade their values within a batch; the source has it already",
        "DROP INDEX {name};",
    ),
    "exclusion": (
        "may refuse rows that trade their values within a batch; the source has it already",
        "ALTER TABLE {relation} DROP CONSTRAINT {name};",
    ),
    "row security": (
        "hides rows from the sink's role",
        "ALTER TABLE {relation} DISABLE ROW LEVEL SECURITY;",
    ),
}
_MILD = frozenset({"unique index", "exclusion"})


def writable(sink: Sink) -> list[Verdict]:
    """Not a standby, not a read-only session."""
    if sink.is_read_only:
        return [
            failed(
                "The database takes no writes: name the primary, and a role that may write.",
                f"sinks.{sink.name}.dsn: postgresql://USER@PRIMARY:5432/DATABASE",
            )
        ]
    return [ok("takes writes")]


def schema(mirror: Mirror) -> list[Verdict]:
    """Tables, columns, keys and guards: the plan of `tailrace schema` is empty."""
    if mirror.refusal:
        return [failed(mirror.refusal, "tailrace schema plan")]
    if mirror.changes:
        fix = "tailrace schema apply"
        return [failed(f"The target lacks something: {some(mirror.changes)}.", fix)]
    return [ok("tables, columns, keys and guards are as they should be")]


def extras(mirror: Mirror) -> list[Verdict]:
    """A column of the target's own must not ask for a value that no change has."""
    if mirror.unfilled:
        relation, _, column = mirror.unfilled[0].rpartition(".")
        return [
            failed(
                f"{some(mirror.unfilled)} may not be NULL and has no default, but the source has no"
                " such column, so every new row is refused: give it a default, or drop it.",
                f"ALTER TABLE {relation} ALTER COLUMN {column} DROP NOT NULL;",
            )
        ]
    return [ok("no column asks for more than the source has")]


def rights(sink: Sink) -> list[Verdict]:
    """What the sink's role does to its tables, and its staging tables."""
    return [
        failed(f"The sink's role may not write {what}.", _grant(what, missing))
        for what, missing in sink.missing_rights.items()
    ] or [ok("SELECT, INSERT, UPDATE, DELETE, and temporary tables")]


def durable(sink: Sink) -> list[Verdict]:
    """A crash empties an unlogged table, and the sink's offsets say that its rows are there."""
    return [
        failed(
            f"{relation} is unlogged: a crash of its server empties it, and nobody would notice.",
            f"ALTER TABLE {relation} SET LOGGED;",
        )
        for relation in sink.unlogged
    ] or [ok("every table survives a crash")]


def obstacles(sink: Sink) -> list[Verdict]:
    """The source has checked its rows already; here the same rule may refuse them."""
    found = []
    for obstacle in sink.obstacles:
        why, fix = _OBSTACLES[obstacle.kind]
        verdict = warning if obstacle.kind in _MILD else failed
        named = f"The {obstacle.kind} {obstacle.name} of {obstacle.relation}".replace("  ", " ")
        found.append(
            verdict(f"{named} {why}.", fix.format(relation=obstacle.relation, name=obstacle.name))
        )
    return found or [ok("no trigger, foreign key, rule or row security in the way")]


def offsets(sink: Sink, kafka: Kafka) -> list[Verdict]:
    """Kafka still has what the sink wants next."""
    if sink.offsets is None:
        return [unknown("The sink has no table for its offsets yet.")]
    found = []
    for at, next_offset in sorted(sink.offsets.items()):
        if at.topic in sink.topics:
            log = kafka.logs.get(at)
            why = lost(sink.name, at, next_offset, Log(*log) if log else None)
            found += [failed(why, SNAPSHOT_ANEW)] if why else []
    read = f"{len(sink.offsets)} partition(s) read, and all that follows is there"
    return found or [ok(read if sink.offsets else "nothing read yet")]


def workers(sink: Sink, kafka: Kafka) -> list[Verdict]:
    """A worker without a partition only waits."""
    shared = kafka.spec.partitions * len(sink.topics)
    if sink.workers > shared:
        return [
            warning(
                f"{sink.workers} workers share {shared} partition(s), so some have nothing to do:"
                f" lower `sinks.{sink.name}.workers`, or raise `connect.partitions` before the"
                " topics are made.",
                f"sinks.{sink.name}.workers: {shared}",
            )
        ]
    return [ok(f"{sink.workers} for up to {shared} partition(s)")]


def read_model(sink: Sink) -> list[Verdict]:
    """A worker applies nothing before its version is built, nor to one of the past."""
    build = f"tailrace projections build {sink.name}"
    match sink.model:
        case None:
            return []
        case "built":
            return [ok("it is built, and follows the events")]
        case "past":
            return [
                warning(
                    "It was built of events up to a time, so it does not follow the others.",
                    f"tailrace projections drop {sink.name} && {build}",
                )
            ]
        case "filling":
            return [failed("It is being built, or that was cut off: the events wait.", build)]
    return [failed("It is not built: the events wait.", build)]


def _grant(what: str, missing: tuple[str, ...]) -> str:
    kind, _, name = what.partition(" ")
    return f"GRANT {', '.join(missing)} ON {kind.upper()} {name} TO …;"


CHECKS = (
    Check("writable", ("sink",), writable),
    Check("rights", ("sink",), rights),
    Check("durability", ("sink",), durable),
    Check("obstacles", ("sink",), obstacles),
    Check("clock", ("sink",), clock),
    Check("schema", ("mirror",), schema),
    Check("extra columns", ("mirror",), extras),
    Check("offsets", ("sink", "kafka"), offsets),
    Check("read model", ("sink",), read_model),
    Check("workers", ("sink", "kafka"), workers),
)
