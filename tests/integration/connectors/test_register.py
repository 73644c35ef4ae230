"""Plan, apply, status, pause, resume, restart and delete against real servers."""

import psycopg
import pytest
from psycopg import sql

from connectors import operate
from connectors.errors import ConnectorError
from connectors.lifecycle import wait_running
from connectors.register import apply, make_plan
from connectors.spec import ConnectorSpec, SourceTable
from tailrace.harness.waits import eventually
from tests.sourcedb import Source


def applied(source: Source, spec: ConnectorSpec) -> None:
    apply(spec, source.at, make_plan(spec, source.at))


def streams(source: Source, spec: ConnectorSpec) -> bool:
    """Whether the heartbeat has been written in the last second: proof that it runs."""
    age_ms = operate.status(spec, source.at).beat_age_ms
    return age_ms is not None and age_ms < 1000


@pytest.mark.parametrize("snapshot", ["initial", "no_data"])
def test_applying_a_plan_leaves_nothing_to_plan(source: Source, snapshot: str) -> None:
    spec = source.spec(snapshot=snapshot)
    plan = make_plan(spec, source.at)
    assert [change.subject for change in plan.changes][-1] == f"connector {spec.name}"
    assert plan.findings == ()
    assert source.db.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)

    apply(spec, source.at, plan)

    assert not make_plan(spec, source.at)
    eventually(lambda: streams(source, spec), what="a heartbeat")
    found = operate.status(spec, source.at)
    assert found.healthy
    assert found.lossless
    assert found.drift == ()
    assert found.slot is not None
    assert found.slot.failover


def test_a_changed_setting_is_planned_with_both_values_and_applied(source: Source) -> None:
    applied(source, source.spec())
    spec = source.spec(heartbeat_interval_ms=700)
    (change,) = make_plan(spec, source.at).changes
    assert (change.before, change.after) == ("500", "700")
    applied(source, spec)
    assert not make_plan(spec, source.at)


def test_a_table_that_is_no_longer_wanted_leaves_the_publication_by_the_plan(
    source: Source,
) -> None:
    source.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    applied(source, source.spec(tables=["orders", "items"]))
    fewer = make_plan(source.spec(), source.at)
    assert [c.sql.split(" DROP ")[1] for c in fewer.changes if c.action == "drop"] == [
        'TABLE "public"."items"'
    ]
    applied(source, source.spec())
    tables = source.db.execute("SELECT tablename FROM pg_publication_tables ORDER BY 1").fetchall()
    assert tables == [("heartbeat",), ("orders",), ("signal",)]


def test_pause_resume_restart(source: Source) -> None:
    spec = source.spec()
    applied(source, spec)
    operate.pause(spec, source.at)
    assert operate.status(spec, source.at).state == "PAUSED"
    operate.resume(spec, source.at)
    operate.restart(spec, source.at)
    eventually(lambda: streams(source, spec), what="a heartbeat")


def test_restart_without_the_lossless_class_moves_the_stored_offset(source: Source) -> None:
    spec = source.spec(lossless=False)
    applied(source, spec)
    source.db.execute("INSERT INTO orders SELECT i, 'n' FROM generate_series(1, 100) AS i")
    eventually(
        lambda: any("lsn_commit" in offset for _, offset in source.at.connect.offsets(spec.name)),
        what="a stored offset with a commit",
    )
    said: list[str] = []
    operate.restart(spec, source.at, said.append)
    assert "moving the stored offset to the last commit" in said
    assert not operate.status(spec, source.at).lossless


def test_delete_keeps_slot_and_publication_unless_asked(source: Source) -> None:
    spec = source.spec()
    applied(source, spec)
    eventually(lambda: streams(source, spec), what="a heartbeat")
    operate.delete(spec, source.at)
    assert exists(source, "pg_replication_slots", "slot_name", spec.slot)
    applied(source, spec)
    eventually(lambda: streams(source, spec), what="a heartbeat after going on from the kept slot")
    operate.delete(spec, source.at, drop_slot=True, drop_publication=True)
    assert not exists(source, "pg_replication_slots", "slot_name", spec.slot)
    assert not exists(source, "pg_publication", "pubname", spec.publication)
    applied(source, spec)


def test_a_slot_made_anew_is_a_gap_that_nothing_starts_past(source: Source) -> None:
    spec = source.spec()
    applied(source, spec)
    eventually(lambda: streams(source, spec), what="a heartbeat")
    eventually(lambda: operate.status(spec, source.at).position, what="a stored position")
    make_slot_anew(source, spec)
    with pytest.raises(ConnectorError, match="made anew or advanced") as refused:
        operate.resume(spec, source.at)
    assert refused.value.code == "TR-SRC-013"
    found = operate.status(spec, source.at)
    assert not found.healthy
    assert [finding.code for finding in found.findings] == ["TR-SRC-013"]


def test_the_lossless_class_itself_refuses_a_slot_made_anew(source: Source) -> None:
    """Connect may start a task without asking us: after a crash of the worker, for one."""
    spec = source.spec()
    applied(source, spec)
    eventually(lambda: streams(source, spec), what="a heartbeat")
    eventually(lambda: operate.status(spec, source.at).position, what="a stored position")
    make_slot_anew(source, spec)
    source.at.connect.resume(spec.name)
    with pytest.raises(ConnectorError, match="no longer available") as refused:
        wait_running(source.at.connect, spec.name)
    assert refused.value.code == "TR-SRC-013"


def test_partitions_get_the_identity_and_changes_arrive_under_the_root(source: Source) -> None:
    source.db.execute(
        "CREATE TABLE log (id int PRIMARY KEY, tags inet[]) PARTITION BY RANGE (id);"
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10)"
    )
    spec = source.spec(tables=["log"])
    applied(source, spec)
    identities = source.db.execute(
        "SELECT relname, relreplident::text FROM pg_class WHERE relname ~ '^log(_1)?$' ORDER BY 1"
    ).fetchall()
    assert identities == [("log", "f"), ("log_1", "f")]
    assert not make_plan(spec, source.at)


def test_an_append_only_table_stays_updatable(source: Source) -> None:
    source.db.execute("CREATE TABLE clicks (at timestamptz)")
    applied(source, source.spec(tables=[SourceTable("public", "clicks", append_only=True)]))
    source.db.execute("INSERT INTO clicks VALUES (now())")
    source.db.execute("UPDATE clicks SET at = now()")


def test_a_key_by_a_unique_index(source: Source) -> None:
    source.db.execute("CREATE TABLE pairs (a int NOT NULL, b int NOT NULL, UNIQUE (a, b))")
    spec = source.spec(tables=[SourceTable("public", "pairs", key=("a", "b"))])
    applied(source, spec)
    assert not make_plan(spec, source.at)
    assert operate.status(spec, source.at).state == "RUNNING"


def make_slot_anew(source: Source, spec: ConnectorSpec) -> None:
    """As an operator might, with changes in between."""
    source.at.connect.stop(spec.name)
    slot = sql.Literal(spec.slot)

    def dropped() -> bool:
        try:
            source.db.execute(sql.SQL("SELECT pg_drop_replication_slot({})").format(slot))
        except psycopg.errors.ObjectInUse:
            return False
        return True

    eventually(dropped, what="the slot to be free")
    source.db.execute("INSERT INTO orders VALUES (4711, 'in the gap')")
    create = "SELECT pg_create_logical_replication_slot({}, 'pgoutput')"
    source.db.execute(sql.SQL(create).format(slot))


def exists(source: Source, catalogue: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE {} = {}").format(
        sql.Identifier(catalogue), sql.Identifier(column), sql.Literal(name)
    )
    return source.db.execute(query).fetchone() is not None


def test_a_limit_of_debezium_s_queue_is_refused_with_a_sentence(source: Source) -> None:
    """It would count what our queue lets out past it, and stand still in the end."""
    spec = source.spec(settings={"max.queue.size.in.bytes": "1000000"})
    with pytest.raises(ConnectorError, match="leave it out"):
        applied(source, spec)


def test_debezium_s_own_queue_does_as_well(source: Source) -> None:
    settings = {"queue.provider.type": "memory", "max.queue.size.in.bytes": "1000000"}
    spec = source.spec(settings=settings)
    applied(source, spec)
    eventually(lambda: streams(source, spec), what="a heartbeat")
