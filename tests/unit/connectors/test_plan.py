from dataclasses import replace
from typing import Any

import pytest
from psycopg import sql

from connectors.catalogue import Key
from connectors.columns import ARRAYS, SCALARS, Column, loss, needs_full_identity
from connectors.errors import ConnectorError, Finding, refuse_blocked
from connectors.plan import Change, Plan
from connectors.prepare import plan_source
from connectors.spec import SourceTable
from connectors.statements import statements
from sinks.pgtypes import value_type
from tests.unit.connectors.builders import (
    READY,
    SERVER,
    SLOT,
    column,
    publication,
    source,
    spec,
    table,
)


def planned(changes: dict[str, Any], **of_spec: Any) -> list[str]:
    plan = plan_source(spec(**of_spec), source(**changes))
    return [change.sql or change.subject for change in plan.changes]


def codes(changes: dict[str, Any], **of_spec: Any) -> list[str]:
    return [f.code for f in plan_source(spec(**of_spec), source(**changes)).findings]


def test_nothing_left_to_do_is_an_empty_plan() -> None:
    assert not plan_source(spec(), source())


def test_the_publication_comes_before_the_slot() -> None:
    steps = planned({"publication": None, "slot": None}, snapshot="no_data")
    kinds = [step.split()[1] for step in steps]
    assert kinds == ["PUBLICATION", "ON", "pg_create_logical_replication_slot('shop',"]


def test_with_an_initial_snapshot_the_connector_makes_the_slot() -> None:
    (change,) = plan_source(spec(), source(slot=None)).changes
    assert change.sql == ""
    assert "meets the stream exactly" in change.why


@pytest.mark.parametrize(
    ("version_num", "failover_slot", "wanted"),
    [(170000, True, True), (160000, True, False), (170000, False, False)],
)
def test_failover_only_where_the_server_has_it(
    version_num: int, failover_slot: bool, wanted: bool
) -> None:
    server = replace(SERVER, version_num=version_num)
    (text,) = planned(
        {"slot": None, "server": server}, snapshot="no_data", failover_slot=failover_slot
    )
    assert ("failover => true" in text) is wanted


def test_control_tables_and_the_right_to_write_them() -> None:
    steps = planned({"control": {"heartbeat": (True, False), "signal": (False, False)}})
    assert [step.split()[0] for step in steps] == ["GRANT", "CREATE", "GRANT"]
    assert '"cdc"' in steps[0]


def test_publication_gets_and_loses_just_the_tables_that_differ() -> None:
    tables = {"public.old": False, "tailrace.heartbeat": False, "tailrace.signal": False}
    steps = planned({"publication": publication(tables=tables)})
    assert steps == [
        'ALTER PUBLICATION "shop" ADD TABLE "public"."orders"',
        'ALTER PUBLICATION "shop" DROP TABLE "public"."old"',
    ]


def test_a_publication_without_all_operations_is_completed() -> None:
    (step,) = planned({"publication": publication(all_operations=False)})
    assert "insert, update, delete, truncate" in step


@pytest.mark.parametrize(
    "changes",
    [
        {"all_tables": True},
        {"unnamed": frozenset({"public.orders"})},
        {"remark": None, "tables": {"public.orders": False, "public.theirs": False}},
        {"tables": {"public.orders": True}},
    ],
)
def test_a_publication_that_is_not_ours_alone_is_refused(changes: dict[str, Any]) -> None:
    assert codes({"publication": publication(**changes)}) == ["TR-SRC-009"]


def test_large_values_that_would_arrive_as_null_need_the_whole_old_row() -> None:
    orders = table(column("tags", "inet[]"), column("note", "text"))
    plan = plan_source(spec(), source(tables={"public.orders": orders}))
    (change,) = plan.changes
    assert change.sql == 'ALTER TABLE "public"."orders" REPLICA IDENTITY FULL'
    assert "tags" in change.why
    assert "note" not in change.why
    assert "price" in change.why


def test_an_excluded_column_needs_nothing() -> None:
    orders = table(column("tags", "interval[]"))
    excluding = SourceTable("public", "orders", exclude_columns=("tags",))
    assert not plan_source(spec(tables=(excluding,)), source(tables={"public.orders": orders}))


def test_partitions_are_altered_too() -> None:
    orders = table(kind="p", identities=frozenset("n"), partitions=("orders_1",))
    steps = planned({"tables": {"public.orders": orders}})
    assert [step.split()[2] for step in steps] == ['"public"."orders"', "orders_1"]


def test_a_key_by_index() -> None:
    unique = Key("by_code", primary=False, identity=False, columns=("b", "a"))
    orders = table(column("a", "text"), column("b", "text"), keys=(unique,))
    wanted = (SourceTable("public", "orders", key=("a", "b")),)
    assert planned({"tables": {"public.orders": orders}}, tables=wanted) == [
        'ALTER TABLE "public"."orders" REPLICA IDENTITY USING INDEX "by_code"'
    ]
    other = (SourceTable("public", "orders", key=("a",)),)
    assert codes({"tables": {"public.orders": orders}}, tables=other) == ["TR-SRC-007"]


def test_keyless_is_refused_with_both_ways_out() -> None:
    keyless = {"tables": {"public.orders": table(keys=())}}
    (finding,) = plan_source(spec(), source(**keyless)).findings
    assert finding.code == "TR-SRC-007"
    assert "leave the table out" in finding.sentence
    appending = (SourceTable("public", "orders", append_only=True),)
    plan = plan_source(spec(tables=appending), source(**keyless))
    assert plan.findings == ()
    assert [c.sql for c in plan.changes] == ['ALTER TABLE "public"."orders" REPLICA IDENTITY FULL']


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"server": replace(SERVER, wal_level="replica")}, "TR-SRC-003"),
        ({"server": replace(SERVER, slots=10), "slot": None}, "TR-SRC-015"),
        ({"role": None}, "TR-SRC-002"),
        ({"slot": replace(SLOT, wal_status="lost")}, "TR-SRC-012"),
        ({"slot": replace(SLOT, database="other")}, "TR-SRC-011"),
        ({"tables": {}}, "TR-SRC-006"),
        ({"tables": {"public.orders": table(kind="v")}}, "TR-SRC-006"),
        ({"tables": {"public.orders": table(persistence="u")}}, "TR-SRC-006"),
        ({"tables": {"public.orders": table(may_select=False)}}, "TR-SRC-005"),
    ],
)
def test_what_speaks_against_a_source(changes: dict[str, Any], code: str) -> None:
    plan = plan_source(spec(), source(**changes))
    assert [finding.code for finding in plan.findings] == [code]
    assert plan.blocked
    assert plan


LOST = [
    *(column("c", shown) for shown in ("interval[]", "money[]", "varbit[]", "point[]", "xml[]")),
    *(column("c", shown) for shown in ("bit[]", "time[]", "numeric[]", "date[]", "timestamptz[]")),
    *(column("c", shown) for shown in ("varbit", "xml", "timetz", "geometry", "geometry[]")),
    *(column("c", "x[]", kind=kind) for kind in "edcm"),
    *(column("c", "x", kind=kind) for kind in "cmr"),
    *(column("c", shown) for shown in ("polygon", "pg_lsn")),
    column("c", "bit(8)", type="bit"),
    column("c", "int4[]", dimensions=2),
    column("c", "int4", generated=True),
]
WHOLE = [
    *(column("c", shown) for shown in ("int4", "text", "numeric", "timestamptz", "bytea", "bit")),
    *(column("c", shown) for shown in ("text[]", "int8[]", "uuid[]", "jsonb[]", "int4range[]")),
    column("c", "bit(1)", type="bit"),
    column("c", "mood", kind="e"),
]


@pytest.mark.parametrize("lossy", LOST, ids=lambda c: f"{c.shown}-{c.kind}")
def test_columns_that_lose_something(lossy: Column) -> None:
    assert loss(lossy)


@pytest.mark.parametrize("whole", WHOLE, ids=lambda c: f"{c.shown}-{c.kind}")
def test_columns_that_arrive_whole(whole: Column) -> None:
    assert loss(whole) is None


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        ("text", False),
        ("numeric", False),
        ("bytea", False),
        ("hstore", False),
        ("text[]", False),
        ("jsonb[]", False),
        ("inet", False),
        ("numeric[]", True),
        ("float8[]", True),
        ("int4[]", True),
        ("uuid[]", True),
        ("bytea[]", True),
        ("path", True),
        ("varbit", True),
    ],
)
def test_which_types_need_the_whole_old_row(shown: str, wanted: bool) -> None:
    assert needs_full_identity(column("c", shown)) is wanted
    assert not needs_full_identity(column("c", shown, toastable=False))


def test_a_blocked_plan_is_not_empty_and_raises_its_first_reason() -> None:
    plan = Plan((), (Finding("A", "one.", blocks=False), Finding("B", "two."), Finding("C", "3.")))
    assert plan
    with pytest.raises(ConnectorError, match=r"two\. \(1 more") as refused:
        refuse_blocked(plan.findings)
    assert refused.value.code == "B"
    assert not Plan((), (Finding("A", "one.", blocks=False),))
    assert Plan((Change("create", "x"),))


def test_every_statement_says_why() -> None:
    for file in ("source.sql", "prepare.sql", "heartbeat.sql"):
        for name, text in statements(file).items():
            assert isinstance(text, sql.SQL), name
            assert "--" not in text.as_string(None), name


def test_control_tables_ready_is_the_builders_promise() -> None:
    assert all(there and usable for there, usable in READY.values())


def test_what_the_plan_lets_pass_the_sinks_can_write() -> None:
    for name in SCALARS:
        assert value_type(name, is_array=False), name
    for name in ARRAYS:
        assert value_type(name, is_array=True), name
