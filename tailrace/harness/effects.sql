-- The statements of effects.py. {names} are put in by psycopg.sql.

-- name: diary
-- Every effect on a watched table, written in the transaction that has it.
CREATE SCHEMA IF NOT EXISTS tailrace_test;
CREATE TABLE IF NOT EXISTS tailrace_test.effects (
  n bigserial PRIMARY KEY, relation text, op text, key text, gen int, commit bigint, lsn bigint
);
CREATE OR REPLACE FUNCTION tailrace_test.note_effect() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  r jsonb := to_jsonb(CASE WHEN tg_op = 'DELETE' THEN old ELSE new END);
  k text;
BEGIN
  SELECT string_agg(a.attname || '=' || (r ->> a.attname), ', ' ORDER BY a.attname COLLATE "C")
  INTO k
  FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  WHERE i.indrelid = tg_relid AND i.indisprimary;
  INSERT INTO tailrace_test.effects (relation, op, key, gen, commit, lsn) VALUES
    (tg_argv[0], tg_op, coalesce(k, r::text), (r ->> '_cdc_gen')::int,
     (r ->> '_cdc_commit')::bigint, (r ->> '_cdc_lsn')::bigint);
  RETURN NULL;
END $$;

-- name: watch
-- The name under which effects are noted stays when the table is renamed.
CREATE OR REPLACE TRIGGER tailrace_test AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION tailrace_test.note_effect({relation});

-- name: watched
-- The tables whose effects are noted, by the names under which they are.
SELECT DISTINCT convert_from(trim(trailing '\000' FROM tgargs), 'UTF8')
FROM pg_trigger WHERE tgname = 'tailrace_test';

-- name: counts
-- How many effects there were on each table.
SELECT relation, count(*), bool_and(gen IS NOT NULL) FROM tailrace_test.effects
WHERE relation = ANY (%s) GROUP BY relation;

-- name: twice
-- One position of one key that was written more than once. A DELETE shows the position before it.
SELECT relation, key, commit, lsn, array_agg(op ORDER BY n) FROM tailrace_test.effects
WHERE op <> 'DELETE' AND gen IS NOT NULL AND relation = ANY (%s)
GROUP BY relation, key, gen, commit, lsn HAVING count(*) > 1 ORDER BY min(n);

-- name: by_key
-- Effects on a table whose rows do not say which change they come from.
SELECT key, array_agg(op ORDER BY n) FROM tailrace_test.effects
WHERE relation = %s GROUP BY key ORDER BY min(n);

-- name: backwards
-- Where a row went back to an older change.
SELECT relation, key, op, commit, lsn, commit_before, lsn_before FROM (
  SELECT relation, key, op, gen, commit, lsn,
         lag(gen) OVER w AS gen_before, lag(commit) OVER w AS commit_before,
         lag(lsn) OVER w AS lsn_before, n
  FROM tailrace_test.effects WHERE op <> 'DELETE' AND relation = ANY (%s)
  WINDOW w AS (PARTITION BY relation, key ORDER BY n)) e
WHERE (gen, commit, lsn) < (gen_before, commit_before, lsn_before) ORDER BY n;
