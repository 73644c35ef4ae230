"""Verify on two real servers whose settings differ: what is equal, and each way not to be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from examples.shop import database
from supervision import digests
from tailrace.cli import app
from tailrace.exits import Problem
from tailrace.harness.databases import Databases
from tailrace.verify import Difference, TableResult, verify

Connection = psycopg.Connection[Any]

AWKWARD = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE "Odd Name" (
    "Key One" text, two int, dropped int, f8 float8, f4 float4, n numeric, ts timestamptz, d date,
    i interval, j jsonb, plain json, b bytea, t text[], nested int[], e mood, c pair, ch char(5),
    r tstzrange, bits varbit, ip inet, m money, cls regclass, u uuid, bool boolean,
    left_ text, right_ text,
    doubled int GENERATED ALWAYS AS (two * 2) STORED,
    PRIMARY KEY (two, "Key One")
);
ALTER TABLE "Odd Name" DROP COLUMN dropped;
INSERT INTO "Odd Name" VALUES
    ('a', 1, '-0', '-0', 'NaN', 'infinity', 'infinity', '1 year -3 days', '{"b": [1, null]}',
     '{"b":  1, "b": 2}', '\\x00ff', '{NULL,"",NULL,"a,b"}', '{{1,2},{3,NULL}}', 'glad', '(1,)',
     'ab', '[2025-01-01,)', '101', '10.0.0.1/8', '12.34', '"Odd Name"',
     '00000000-0000-4000-8000-000000000000', true, 'x', ''),
    ('A', 1, 'NaN', 'Infinity', 'Infinity', '2025-06-01 12:00:00.000001+02', '2025-06-01',
     '1 mon 2 days 03:04:05.000006', '[]', '[]', '', '{}', '{}', 'sad', '(,"")', '', 'empty', '',
     '::1', '-1', 'pg_type', NULL, false, NULL, NULL),
    ('é', -5, 0.1, 0.1, 1.10, '0001-01-01 00:00Z', '-infinity', NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('', 0, 1e-300, 1e-30, 1e100, '294276-12-31 23:59:59.999999Z', '4713-01-01 BC', '-1 us', '1',
     '1', '\\xdeadbeef', '{"\\"","\\\\"}', '[5:6]={1,2}', NULL, '(,)', ' ', '(,)', '1', '0.0.0.0/0',
     '0', NULL, NULL, NULL, NULL, NULL);
"""

OTHER_WAYS = (
    "SET TimeZone = 'Asia/Kathmandu'",
    "SET DateStyle = 'SQL, DMY'",
    "SET IntervalStyle = 'iso_8601'",
    "SET bytea_output = 'escape'",
    "SET extra_float_digits = -15",
    "SET xmlbinary = 'hex'",
    "SET search_path = pg_catalog",
    "SET default_transaction_isolation = 'serializable'",
)


@pytest.fixture
def source(new_source: Databases) -> Iterator[Connection]:
    with psycopg.connect(new_source(), autocommit=True) as opened:
        opened.execute(AWKWARD.encode())
        yield opened


@pytest.fixture
def target(new_database: Databases) -> Iterator[Connection]:
    """The same with the sink's own columns, its sessions set up as differently as they can be."""
    with psycopg.connect(new_database(), autocommit=True) as opened:
        opened.execute(AWKWARD.encode())
        opened.execute(
            'ALTER TABLE "Odd Name" ADD _cdc_gen int DEFAULT 7, ADD _cdc_commit bigint,'
            " ADD _cdc_lsn bigint, DROP COLUMN doubled"
        )
        for way in OTHER_WAYS:
            opened.execute(way.encode())
        yield opened


def only(results: list[TableResult]) -> TableResult:
    assert len(results) == 1
    return results[0]


def compare(source: Connection, target: Connection, **options: Any) -> TableResult:
    return only(verify(source, target, ["public.Odd Name"], **options))


def test_equal_in_spite_of_other_settings_and_more_columns(
    source: Connection, target: Connection
) -> None:
    result = compare(source, target)
    assert result.equal, result
    assert result.source_rows == result.target_rows == 4


@pytest.mark.parametrize(
    ("change", "kind", "key", "columns"),
    [
        ("DELETE FROM @ WHERE two = 0", "missing", ("", 0), ()),
        ("INSERT INTO @ (\"Key One\", two) VALUES ('zz', 3)", "extra", ("zz", 3), ()),
        ("UPDATE @ SET \"Key One\" = 'É' WHERE two = -5", "missing extra", None, ()),
        ("UPDATE @ SET t = '{NULL,NULL,NULL,\"a,b\"}' WHERE n = 'NaN'", "changed", ("a", 1), "t"),
        ("UPDATE @ SET t = '{NULL,\"\",NULL,\"A,b\"}' WHERE n = 'NaN'", "changed", ("a", 1), "t"),
        ("UPDATE @ SET right_ = NULL WHERE n = 'NaN'", "changed", ("a", 1), "right_"),
        ("UPDATE @ SET left_ = 'X' WHERE n = 'NaN'", "changed", ("a", 1), "left_"),
        ("UPDATE @ SET left_ = right_, right_ = left_ WHERE n = 'NaN'", "changed", ("a", 1),
         "left_ right_"),
        ("UPDATE @ SET ch = NULL WHERE \"Key One\" = 'A'", "changed", ("A", 1), "ch"),
        ("UPDATE @ SET b = NULL WHERE \"Key One\" = 'A'", "changed", ("A", 1), "b"),
        ("UPDATE @ SET bool = NULL WHERE \"Key One\" = 'A'", "changed", ("A", 1), "bool"),
        ("UPDATE @ SET f8 = 0.10000000000000002 WHERE two = -5", "changed", ("é", -5), "f8"),
        ("UPDATE @ SET f4 = '0' WHERE n = 'NaN'", "changed", ("a", 1), "f4"),
        ("UPDATE @ SET f8 = 'Infinity' WHERE f8 = 'NaN'", "changed", ("A", 1), "f8"),
        ("UPDATE @ SET n = 1.1 WHERE two = -5", "changed", ("é", -5), "n"),
        ("UPDATE @ SET ts = ts + '1 us' WHERE \"Key One\" = 'A'", "changed", ("A", 1), "ts"),
        ("UPDATE @ SET d = 'infinity' WHERE two = -5", "changed", ("é", -5), "d"),
        ("UPDATE @ SET i = i - '1 mon' + '30 days' WHERE f8 = 'NaN'", "changed", ("A", 1), "i"),
        ("UPDATE @ SET j = '{\"b\": [1, \"null\"]}' WHERE n = 'NaN'", "changed", ("a", 1), "j"),
        ("UPDATE @ SET nested = '{1,2}' WHERE two = 0", "changed", ("", 0), "nested"),
        ("UPDATE @ SET c = '(1,\"\")', e = 'sad' WHERE n = 'NaN'", "changed", ("a", 1), "e c"),
    ],
)  # fmt: skip
def test_a_planted_difference_is_named(
    source: Connection, target: Connection, change: str, kind: str, key: Any, columns: str
) -> None:
    target.execute(change.replace("@", 'public."Odd Name"').encode())
    result = compare(source, target)
    assert not result.equal
    assert sorted(found.kind for found in result.differences) == sorted(kind.split())
    if key is not None:
        named = {"two": str(key[1]), "Key One": key[0]}
        expected = Difference(kind, named, tuple(columns.split()) if columns else ())  # type: ignore[arg-type]
        assert result.differences == (expected,)


def test_float_that_only_more_digits_tell_apart(source: Connection, target: Connection) -> None:
    for connection, value in ((source, "0.30000000000000004"), (target, "0.3")):
        update = sql.SQL('UPDATE public."Odd Name" SET f8 = {} WHERE two = 0')
        connection.execute(update.format(sql.Literal(value)))
    assert compare(source, target).differences[0].columns == ("f8",)


def many(connection: Connection, rows: int) -> None:
    connection.execute("CREATE TABLE public.many (id int PRIMARY KEY, note text)")
    fill = "INSERT INTO public.many SELECT g, repeat('x', 100) || g FROM generate_series(1, %s) g"
    connection.execute(fill, (rows,))


def test_many_pages_many_differences_and_a_limit(
    source: Connection, target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_PAGES", 3)
    monkeypatch.setattr(digests, "_FETCH_ROWS", 7)
    many(source, 5000)
    many(target, 5000)
    target.execute("UPDATE public.many SET note = upper(note) WHERE id % 100 = 0")
    target.execute("DELETE FROM public.many WHERE id % 1000 = 1")
    target.execute("INSERT INTO public.many VALUES (5001, 'a'), (5002, 'b')")
    seen: list[tuple[str, int, int]] = []
    result = only(verify(source, target, ["public.many"], lambda *now: seen.append(now), limit=3))
    assert (result.missing, result.extra, result.changed) == (5, 2, 50)
    assert (result.source_rows, result.target_rows) == (5000, 4997)
    assert len(result.differences) == 3
    done = [rows for _, rows, _ in seen]
    assert done == sorted(done)
    assert all(rows <= expected for _, rows, expected in seen)


def test_the_order_of_rows_and_columns_and_partitions_do_not_matter(
    source: Connection, target: Connection
) -> None:
    many(source, 1000)
    target.execute(
        "CREATE TABLE public.many (note text, _cdc_gen int, id int PRIMARY KEY)"
        " PARTITION BY HASH (id)"
    )
    for part in (0, 1):
        target.execute(
            f"CREATE TABLE public.many_{part} PARTITION OF public.many"
            f" FOR VALUES WITH (MODULUS 2, REMAINDER {part})".encode()
        )
    target.execute(
        "INSERT INTO public.many (id, note)"
        " SELECT g, repeat('x', 100) || g FROM generate_series(1000, 1, -1) g"
    )
    assert only(verify(source, target, ["public.many"])).equal
    target.execute("UPDATE public.many SET note = '' WHERE id = 500")
    assert only(verify(source, target, ["public.many"])).differences == (
        Difference("changed", {"id": "500"}, ("note",)),
    )


def test_empty_tables_are_equal(source: Connection, target: Connection) -> None:
    many(source, 0)
    many(target, 0)
    assert only(verify(source, target, ["public.many"])).equal


@pytest.mark.parametrize(
    ("on_source", "on_target", "problem"),
    [
        ("SELECT 1", "SELECT 1", "public.t is not in the source."),
        ("CREATE TABLE public.t (id int PRIMARY KEY)", "SELECT 1", "public.t is not in the target"),
        ("CREATE TABLE public.t (id int)", "CREATE TABLE public.t (id int)", "no primary key"),
        (
            "CREATE TABLE public.t (id int PRIMARY KEY, a int, b int)",
            "CREATE TABLE public.t (id int PRIMARY KEY, a int)",
            "public.t lacks in the target: b.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(
    source: Connection, target: Connection, on_source: str, on_target: str, problem: str
) -> None:
    source.execute(on_source.encode())
    target.execute(on_target.encode())
    result = only(verify(source, target, ["public.t"]))
    assert problem in result.problem
    assert not result.equal


def test_the_key_is_that_of_the_index_without_what_it_includes(
    source: Connection, target: Connection
) -> None:
    table = (
        "CREATE TABLE public.t (a int NOT NULL, b int, PRIMARY KEY (a) INCLUDE (b));"
        "INSERT INTO public.t VALUES (1, 1)"
    )
    source.execute(table.encode())
    target.execute(table.encode())
    target.execute("UPDATE public.t SET b = 2")
    found = only(verify(source, target, ["public.t"])).differences
    assert found == (Difference("changed", {"a": "1"}, ("b",)),)


def test_one_snapshot_and_no_trace(source: Connection, target: Connection) -> None:
    many(source, 10)
    many(target, 10)

    def write_meanwhile(table: str, done: int, expected: int) -> None:
        if table == "public.Odd Name":
            with psycopg.connect(source.info.dsn, password=source.info.password) as other:
                other.execute("DELETE FROM public.many WHERE id = 1")

    results = verify(source, target, ["public.Odd Name", "public.many"], write_meanwhile)
    assert all(result.equal for result in results)
    assert source.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert target.execute("SHOW DateStyle").fetchone() == ("SQL, DMY",)
    assert not only(verify(source, target, ["public.many"])).equal


class TestCommand:
    @pytest.fixture
    def config(self, new_source: Databases, new_database: Databases, tmp_path: Path) -> Path:
        dsns = {"source": new_source(), "target": new_database()}
        for dsn in dsns.values():
            with psycopg.connect(dsn, autocommit=True) as connection:
                database.create(connection)
                database.fill(connection, customers=50, products=5)
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            json.dumps(
                {
                    "pipeline": "shop",
                    "source": {
                        "dsn": dsns["source"],
                        "tables": list(database.TABLES),
                        "placeholder": "unchanged-0123456789abcdef",
                    },
                    "sinks": {"warehouse": {"type": "postgres", "dsn": dsns["target"]}},
                }
            )
        )
        return path

    def run(self, config: Path, *words: str) -> Any:
        return CliRunner().invoke(app, ["verify", "-c", str(config), *words])

    def plant(self, config: Path, change: str) -> None:
        dsn = json.loads(config.read_text())["sinks"]["warehouse"]["dsn"]
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(change.encode())

    def test_equal(self, config: Path) -> None:
        done = self.run(config)
        assert done.exit_code == 0, done.output
        assert done.stdout.count("equal") == len(database.TABLES)

    def test_differing_rows_are_named(self, config: Path) -> None:
        self.plant(config, "UPDATE customers SET name = 'x' WHERE id < 6")
        done = self.run(config, "--limit", "2")
        assert done.exit_code == 1
        assert "0 missing, 0 extra, 5 changed" in done.stdout
        assert "    changed  id=1: name\n" in done.stdout
        assert "    and 3 more\n" in done.stdout

    def test_json(self, config: Path) -> None:
        self.plant(config, "DELETE FROM products WHERE id = 3")
        words = ["verify", "-c", str(config), "--json", "--table", "public.products"]
        done = CliRunner(mix_stderr=False).invoke(app, words)
        assert done.exit_code == 1
        (found,) = json.loads(done.stdout)["warehouse"]
        assert found["missing"] == 1
        assert not found["equal"]
        assert found["differences"] == [{"kind": "missing", "key": {"id": "3"}, "columns": []}]

    @pytest.mark.parametrize(
        ("words", "code"),
        [(("--sink", "lake"), "TR-CFG-010"), (("--table", "public.lake"), "TR-VER-001")],
    )
    def test_what_is_not_there_is_a_sentence(
        self, config: Path, words: tuple[str, ...], code: str
    ) -> None:
        refused = self.run(config, *words).exception
        assert isinstance(refused, Problem)
        assert refused.code == code

    def test_a_role_that_may_not_read_is_told_so(self, config: Path) -> None:
        self.plant(config, "CREATE ROLE nobody_at_all LOGIN PASSWORD 'x'")
        try:
            text = config.read_text()
            login = "postgresql://nobody_at_all:x@"
            head, _, tail = text.rpartition("postgresql://")
            config.write_text(head + login + tail.partition("@")[2])
            refused = self.run(config, "--table", "public.orders").exception
        finally:
            config.write_text(text)
            self.plant(config, "DROP ROLE nobody_at_all")
        assert isinstance(refused, Problem)
        assert "permission denied for table orders." in str(refused)
        assert refused.code == "TR-VER-002"

    def test_a_server_that_is_away_is_a_sentence(self, config: Path) -> None:
        away = config.read_text().replace("@127.0.0.1:", "@127.0.0.1:1")
        config.write_text(away)
        refused = self.run(config).exception
        assert isinstance(refused, Problem)
        assert refused.code == "TR-SRC-001"
        assert "\n" not in str(refused)
