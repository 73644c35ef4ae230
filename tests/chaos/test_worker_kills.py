"""
I1, I3, I5, I7: the worker dies by SIGKILL at every numbered step, under load, again and again.

A trigger on the target writes down every effect in the same transaction. In the end source and
target are equal, and no change has taken effect twice.
"""

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from examples.shop import database
from examples.shop.load import Load
from tailrace.killpoint import VARIABLE
from tests.pipeline import Pipe

STEPS = (
    "polled",
    "advanced",
    "copied",
    "staged",
    "upserted",
    "before commit",
    "after commit",
    "acknowledged",
)
LONG = os.environ.get("TAILRACE_CHAOS") == "long"
ROUNDS = 25 if LONG else 1  # 8 steps each: 200 kills in the long run

EFFECTS = """
CREATE TABLE effects (
  n bigserial, relation text, op text, key text, gen int, commit bigint, lsn bigint
);
CREATE FUNCTION note_effect() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record := CASE WHEN tg_op = 'DELETE' THEN old ELSE new END; k text;
BEGIN
  SELECT string_agg(to_jsonb(r) ->> a.attname, '/' ORDER BY a.attnum) INTO k
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = tg_relid AND i.indisprimary;
  INSERT INTO public.effects (relation, op, key, gen, commit, lsn) VALUES
    (tg_table_name, tg_op, k, r._cdc_gen, r._cdc_commit, r._cdc_lsn);
  RETURN NULL;
END $$;
"""
TWICE = """
SELECT relation, key, gen, commit, lsn, array_agg(op) FROM effects WHERE op <> 'DELETE'
GROUP BY relation, key, gen, commit, lsn HAVING count(*) > 1
"""
BACKWARDS = """
SELECT * FROM (
  SELECT relation, key, op, (gen, commit, lsn) AS at,
         lag((gen, commit, lsn)) OVER (PARTITION BY relation, key ORDER BY n) AS before
  FROM effects WHERE op <> 'DELETE') e
WHERE at <= before
"""


def watch_effects(pipe: Pipe) -> None:
    with psycopg.connect(pipe.target_dsn) as target:
        target.execute(EFFECTS.encode())
        for table in pipe.pipeline.source.tables:
            schema, _, name = table.partition(".")
            target.execute(
                psycopg.sql.SQL(
                    "CREATE TRIGGER effects AFTER INSERT OR UPDATE OR DELETE ON {} "
                    "FOR EACH ROW EXECUTE FUNCTION public.note_effect()"
                ).format(psycopg.sql.Identifier(schema, name))
            )


@pytest.fixture
def shop(pipe: Callable[..., Pipe]) -> Pipe:
    shop = pipe("SELECT 1", database.TABLES, partitions=2)
    with psycopg.connect(shop.source_dsn) as source:
        database.create(source)
        database.fill(source, customers=200, products=40)
    shop.make_tables()
    watch_effects(shop)
    shop.register()
    return shop


def assert_each_effect_once(pipe: Pipe) -> None:
    assert pipe.rows(TWICE) == []
    assert pipe.rows(BACKWARDS) == []
    assert pipe.rows("SELECT count(*) FROM effects")[0][0] > 0


@pytest.mark.timeout(3600 if LONG else 300)
def test_killed_at_every_step_under_load(shop: Pipe) -> None:
    kills = 0
    with Load(shop.source_dsn, rate=80) as load:
        for round_ in range(ROUNDS):
            for step in STEPS:
                arguments = ("--instance", "one")
                worker = shop.start(*arguments, **{VARIABLE: f"{step}:{1 + round_ % 7}"})
                assert worker.process.wait(60) == -signal.SIGKILL, f"{step}: {worker.text()}"
                kills += 1
                load.wait(0)
    survivor = shop.start("--instance", "one")
    shop.wait_equal(120)
    assert survivor.stop() == 0, survivor.text()
    assert_each_effect_once(shop)
    assert kills == len(STEPS) * ROUNDS
