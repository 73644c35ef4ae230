"""Every way in which a source or Connect can be unfit, provoked for real: code and next step."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import devstack.connect
from connectors.errors import ConnectorError
from connectors.lifecycle import At
from connectors.register import apply, make_plan
from connectors.rest import Connect
from connectors.spec import ConnectorSpec, SourceTable
from devstack import AnyStack
from devstack.postgres import Postgres
from devstack.process import free_ports
from devstack.profile import PROFILES
from tailrace.harness.waits import eventually
from tests.sourcedb import Source


def refused(source: Source, spec: ConnectorSpec, at: At | None = None) -> ConnectorError:
    with pytest.raises(ConnectorError) as refusal:
        apply(spec, at or source.at, make_plan(spec, at or source.at))
    assert source.at.connect.config(spec.name) is None or at
    return refusal.value


def reference(source: Source, key: str) -> str:
    return f"${{file:{source.endpoints.secrets}:{key}}}"


@pytest.mark.parametrize("password", ["redis.password", "no.such.key"])
def test_wrong_password(source: Source, password: str) -> None:
    error = refused(source, source.spec(password=reference(source, password)))
    assert error.code == "TR-SRC-002"
    assert "config.providers" in error.sentence


def test_a_provider_that_the_workers_do_not_have(source: Source) -> None:
    error = refused(source, source.spec(password="${vault:postgres:password}"))
    assert error.code == "TR-SRC-002"


def test_unreachable_source(source: Source) -> None:
    (nobody,) = free_ports(1)
    error = refused(source, source.spec(port=nobody))
    assert error.code == "TR-SRC-001"
    assert "as the worker sees them" in error.sentence


def test_missing_database(source: Source) -> None:
    assert refused(source, source.spec(database="elsewhere")).code == "TR-SRC-001"


def test_absent_connect(source: Source) -> None:
    (nobody,) = free_ports(1)
    with Connect(f"http://me:secret@127.0.0.1:{nobody}") as connect:
        error = refused(source, source.spec(), At(connect, source.db))
    assert error.code == "TR-CON-001"
    assert "secret" not in error.sentence


@pytest.fixture
def without_our_jar(
    stack: AnyStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    worker = stack.part("connect")
    worker.stop()
    with monkeypatch.context() as patch:
        patch.setattr(devstack.connect, "LOSSLESS", tmp_path)
        worker.start()
    yield
    worker.stop()
    worker.start()


@pytest.mark.usefixtures("without_our_jar")
def test_missing_plugin(source: Source) -> None:
    error = refused(source, source.spec())
    assert error.code == "TR-CON-002"
    assert "tailrace-lossless.jar" in error.sentence


def test_a_setting_that_debezium_refuses(source: Source) -> None:
    error = refused(source, source.spec(settings={"time.precision.mode": "sundial"}))
    assert error.code == "TR-CON-003"
    assert "time.precision.mode" in error.sentence


def test_exactly_once_on_workers_that_do_not_offer_it(source: Source) -> None:
    error = refused(source, source.spec(exactly_once=True))
    assert error.code == "TR-CON-003"
    assert "exactly.once.support" in error.sentence


def test_slot_in_use_by_another_connector(source: Source) -> None:
    apply(source.base, source.at, make_plan(source.base, source.at))
    again = source.spec(name=f"{source.base.name}-2", topic_prefix="second")
    eventually(
        lambda: make_plan(again, source.at).blocked, what="the first connector to read its slot"
    )
    error = refused(source, again)
    assert error.code == "TR-SRC-010"
    assert "Debezium Streaming" in error.sentence


def test_role_without_rights(source: Source) -> None:
    role = sql.Identifier(source.base.name)
    source.db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    try:
        plan = make_plan(source.spec(user=source.base.name), source.at)
    finally:
        source.db.execute(sql.SQL("DROP ROLE {}").format(role))
    assert [finding.code for finding in plan.findings] == ["TR-SRC-004", "TR-SRC-005"]
    assert "ALTER ROLE" in plan.findings[0].sentence
    assert "GRANT SELECT ON public.orders" in plan.findings[1].sentence


def test_missing_role(source: Source) -> None:
    assert refused(source, source.spec(user="nobody")).code == "TR-SRC-002"


def test_our_own_role_may_not_change_the_source(source: Source) -> None:
    name = source.base.name
    role = sql.Identifier(name)
    source.db.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
    try:
        dsn = psycopg.conninfo.make_conninfo(source.dsn, user=name, password="x")
        with psycopg.connect(dsn, autocommit=True) as connection:
            error = refused(source, source.spec(), At(source.at.connect, connection))
    finally:
        source.db.execute(sql.SQL("DROP ROLE {}").format(role))
    assert error.code == "TR-SRC-014"
    assert 'CREATE SCHEMA IF NOT EXISTS "tailrace"' in error.sentence


def test_missing_table(source: Source) -> None:
    assert refused(source, source.spec(tables=["Orders"])).code == "TR-SRC-006"


def test_view_and_unlogged_table(source: Source) -> None:
    source.db.execute("CREATE VIEW v AS SELECT 1; CREATE UNLOGGED TABLE u (id int PRIMARY KEY)")
    plan = make_plan(source.spec(tables=["v", "u"]), source.at)
    assert [finding.code for finding in plan.findings] == ["TR-SRC-006", "TR-SRC-006"]


def test_keyless_table(source: Source) -> None:
    source.db.execute(
        "CREATE TABLE keyless (id int); CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)"
    )
    plan = make_plan(source.spec(tables=["keyless", "late"]), source.at)
    assert [finding.code for finding in plan.findings] == ["TR-SRC-007", "TR-SRC-007"]
    assert "leave the table out" in plan.findings[0].sentence


def test_columns_that_do_not_survive(source: Source) -> None:
    source.db.execute(
        "CREATE DOMAIN spans AS interval[];"
        "CREATE TABLE odd (id int PRIMARY KEY, a interval[], b money[], c varbit[], d point[],"
        " e xml[], f bit(3)[], g varbit, h time[], i int[][], j spans, k timetz, fine text[])"
    )
    plan = make_plan(source.spec(tables=["odd"]), source.at)
    named = [finding.sentence.split()[1] for finding in plan.findings]
    assert named == [f"public.odd.{letter}" for letter in "abcdefghijk"]
    assert {finding.code for finding in plan.findings} == {"TR-SRC-008"}
    ways_out = SourceTable(
        "public", "odd", exclude_columns=tuple("abcdefij"), accept_columns=tuple("ghk")
    )
    assert not make_plan(source.spec(tables=[ways_out]), source.at).blocked


def test_publication_that_serves_others(source: Source) -> None:
    source.db.execute("CREATE TABLE others (id int PRIMARY KEY)")
    publication = sql.Identifier(source.base.publication)
    create = "CREATE PUBLICATION {} FOR TABLE orders, others"
    source.db.execute(sql.SQL(create).format(publication))
    error = refused(source, source.spec())
    assert error.code == "TR-SRC-009"
    assert "public.others" in error.sentence


@pytest.mark.parametrize(
    "what", ["ALL TABLES", "TABLES IN SCHEMA public", "TABLE orders WHERE (id > 0)"]
)
def test_publication_of_more_or_less_than_tables(source: Source, what: str) -> None:
    create = sql.SQL("CREATE PUBLICATION {} FOR ").format(sql.Identifier(source.base.publication))
    source.db.execute(create + sql.SQL(what))
    assert refused(source, source.spec()).code == "TR-SRC-009"


def test_slot_of_another_plugin(source: Source) -> None:
    create = "SELECT pg_create_logical_replication_slot({}, 'test_decoding')"
    source.db.execute(sql.SQL(create).format(sql.Literal(source.base.slot)))
    assert refused(source, source.spec()).code == "TR-SRC-011"


def test_older_slot_beside_a_first_snapshot(source: Source) -> None:
    create = "SELECT pg_create_logical_replication_slot({}, 'pgoutput')"
    source.db.execute(sql.SQL(create).format(sql.Literal(source.base.slot)))
    error = refused(source, source.spec(lossless=False))
    assert error.code == "TR-SRC-011"
    assert "--no-snapshot" in error.sentence


def test_locked_table(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.register.LOCK_TIMEOUT_MS", 100)
    with psycopg.connect(source.dsn) as writer:
        writer.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        error = refused(source, source.spec())
    assert error.code == "TR-SRC-016"


@pytest.fixture
def replica_level(tmp_path: Path) -> Iterator[str]:
    """A Postgres with wal_level=replica and one slot too few."""
    (port,) = free_ports(1)
    dsn = f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"
    settings = {"wal_level": "replica", "max_replication_slots": 0}
    profile = dataclasses.replace(PROFILES["small"], postgres=settings)
    server = Postgres("postgres", tmp_path, dsn, profile)
    server.start(lambda part, what: None)
    yield dsn
    server.stop()


def test_wal_level_and_slots(source: Source, replica_level: str) -> None:
    with psycopg.connect(replica_level, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        plan = make_plan(source.spec(), At(source.at.connect, connection))
    assert [finding.code for finding in plan.findings] == ["TR-SRC-003", "TR-SRC-015"]
    assert "ALTER SYSTEM SET wal_level = logical" in plan.findings[0].sentence


def test_task_that_fails_after_it_was_accepted(source: Source) -> None:
    """Validation passes, the start does not: the cause and the next step are told."""
    missing = {"publication.name": "nobody_made_it"}
    spec = source.spec(settings=missing, snapshot="no_data")
    with pytest.raises(ConnectorError, match="connector apply creates it") as refusal:
        apply(spec, source.at, make_plan(spec, source.at))
    assert refusal.value.code == "TR-SRC-009"
