-- The statements of sinks/postgres.py. {names} are put in by psycopg.sql.

-- name: schema
-- The sink's own tables; everything of one pipeline's sink is told apart by `sink`.
CREATE SCHEMA IF NOT EXISTS tailrace;
CREATE TABLE IF NOT EXISTS tailrace.offsets (
  sink text, topic text, partition int,
  next_offset bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 1,
  gen int NOT NULL DEFAULT 0, commit bigint NOT NULL DEFAULT -1, lsn bigint NOT NULL DEFAULT 0,
  committed_at_us bigint NOT NULL DEFAULT 0, snapshot_lsn bigint NOT NULL DEFAULT 0,
  log text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (sink, topic, partition)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS tailrace.tombstones (
  relation text, key text,
  gen int NOT NULL, commit bigint NOT NULL, lsn bigint NOT NULL,
  deleted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (relation, key)
);
CREATE INDEX IF NOT EXISTS tombstones_by_age ON tailrace.tombstones USING brin (deleted_at);

-- name: parked
-- What became of dead letters: `log` is Kafka's id of their topic, `number` the offset in it.
CREATE TABLE IF NOT EXISTS tailrace.parked (
  sink text, log text, number bigint,
  outcome text NOT NULL CHECK (outcome IN ('redriven', 'discarded')),
  effect text NOT NULL CHECK (effect IN ('written', 'stale', 'none')),
  at timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL, reason text NOT NULL, action_id bigint NOT NULL,
  PRIMARY KEY (sink, log, number)
);

-- name: columns
-- What the target looks like, with the base type of domains and the element type of arrays.
SELECT n.nspname || '.' || c.relname, n.nspname, c.relname, a.attname,
       CASE WHEN b.typtype = 'e' THEN 'enum' ELSE b.typname END,
       e.oid IS NOT NULL, coalesce(a.attnum = ANY (i.indkey), false), a.attgenerated <> '',
       format_type(a.atttypid, a.atttypmod)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t0 ON t0.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE WHEN t0.typtype = 'd' THEN t0.typbasetype ELSE t0.oid END
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
JOIN pg_type b ON b.oid = coalesce(e.oid, t.oid)
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
ORDER BY n.nspname, c.relname, a.attnum;

-- name: claim
-- Take partitions over: a higher epoch fences whoever had them before (I5).
INSERT INTO tailrace.offsets AS o (sink, topic, partition)
SELECT %s, topic, partition
FROM unnest(%s::text[], %s::int[]) AS n (topic, partition) ORDER BY topic, partition
ON CONFLICT (sink, topic, partition) DO UPDATE SET epoch = o.epoch + 1, updated_at = now()
RETURNING topic, partition, epoch, next_offset, gen, commit, lsn, committed_at_us,
          snapshot_lsn, log;

-- name: advance
-- First statement of every transaction: the compare-and-set that makes effects exactly once.
UPDATE tailrace.offsets o
SET next_offset = n.stop, gen = n.gen, commit = n.commit, lsn = n.lsn,
    committed_at_us = n.committed_at_us, snapshot_lsn = n.snapshot_lsn,
    log = n.log, updated_at = now()
FROM json_to_recordset(%s)
     AS n (topic text, partition int, epoch bigint, start bigint, stop bigint, gen int,
           commit bigint, lsn bigint, committed_at_us bigint, snapshot_lsn bigint, log text)
WHERE o.sink = %s AND o.topic = n.topic AND o.partition = n.partition
  AND o.next_offset = n.start AND o.epoch = n.epoch;

-- name: hold
-- A redrive holds the worker's next `advance` off, or waits for the one that is under way.
SELECT gen, commit, lsn, extract(epoch FROM now())::float8 FROM tailrace.offsets
WHERE sink = %s AND topic = %s AND partition = %s FOR UPDATE;

-- name: reached
-- After a lost answer: did the transaction commit? Only its own epoch may say yes.
SELECT count(*) FROM tailrace.offsets o
JOIN json_to_recordset(%s) AS n (topic text, partition int, epoch bigint, stop bigint)
USING (topic, partition)
WHERE o.sink = %s AND o.epoch = n.epoch AND o.next_offset = n.stop;

-- name: prune
-- A repeat older than this cannot come any more: Kafka keeps no record for so long.
DELETE FROM tailrace.tombstones WHERE key <> '' AND deleted_at < now() - %s * interval '1 second';

-- name: lock
-- Rows are written under this lock, so that a TRUNCATE by another worker comes before or after.
LOCK TABLE {targets} IN ROW EXCLUSIVE MODE;

-- name: floors
-- Where tables were truncated: nothing older may come in any more.
SELECT relation, gen, commit, lsn FROM tailrace.tombstones WHERE key = '' AND relation = ANY (%s);

-- name: stage
-- Rows that need a guard go through here; as a table without constraints it takes any of them.
CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS
SELECT {columns}, _cdc_gen, _cdc_commit, _cdc_lsn, ''::text AS _key, NULL::boolean[] AS _kept
FROM {target} WITH NO DATA;

-- name: copy_fresh
-- Inserts that nothing like them can have come before go straight in.
COPY {target} ({columns}, _cdc_gen, _cdc_commit, _cdc_lsn)
FROM STDIN (FORMAT csv, QUOTE E'\x01', NULL '');

-- name: copy_stage
-- With the key as the source wrote it, and which values did not travel.
COPY {stage} ({columns}, _cdc_gen, _cdc_commit, _cdc_lsn, _key, _kept)
FROM STDIN (FORMAT csv, QUOTE E'\x01', NULL '');

-- name: empty_stage
-- A stage that is used again in the same transaction still has the rows of its last use.
DELETE FROM {stage};

-- name: bury
-- A deleted row leaves its position behind, or a late repeat would bring it back (I3).
INSERT INTO tailrace.tombstones AS d (relation, key, gen, commit, lsn)
SELECT {relation}, _key, _cdc_gen, _cdc_commit, _cdc_lsn FROM {stage}
ON CONFLICT (relation, key) DO UPDATE
SET gen = excluded.gen, commit = excluded.commit, lsn = excluded.lsn, deleted_at = now()
WHERE (d.gen, d.commit, d.lsn) < (excluded.gen, excluded.commit, excluded.lsn);

-- name: delete
-- Only what is older than the delete.
DELETE FROM {target} t USING {stage} s
WHERE {same_key}
  AND (t._cdc_gen, t._cdc_commit, t._cdc_lsn) < (s._cdc_gen, s._cdc_commit, s._cdc_lsn);

-- name: upsert
-- Only over what is older (I3), and not over a newer tombstone.
INSERT INTO {target} AS t ({columns}, _cdc_gen, _cdc_commit, _cdc_lsn)
SELECT {columns}, _cdc_gen, _cdc_commit, _cdc_lsn FROM {stage} s
WHERE _kept IS NULL AND {not_buried} AND {not_stale}
ON CONFLICT ({key}) DO UPDATE SET {set_excluded}
WHERE (t._cdc_gen, t._cdc_commit, t._cdc_lsn)
    < (excluded._cdc_gen, excluded._cdc_commit, excluded._cdc_lsn);

-- name: not_buried
-- An expression: no tombstone is as new as the row.
NOT EXISTS (
  SELECT FROM tailrace.tombstones d WHERE d.relation = {relation} AND d.key = s._key
  AND (d.gen, d.commit, d.lsn) >= (s._cdc_gen, s._cdc_commit, s._cdc_lsn));

-- name: not_stale
-- An expression: the target has nothing as new. Spares a repeat the lock that ON CONFLICT takes.
NOT EXISTS (
  SELECT FROM {target} t WHERE {same_key}
  AND (t._cdc_gen, t._cdc_commit, t._cdc_lsn) >= (s._cdc_gen, s._cdc_commit, s._cdc_lsn));

-- name: update_kept
-- Values that did not travel (unchanged TOAST) stay as they are.
UPDATE {target} t SET {set_kept}
FROM {stage} s
WHERE s._kept IS NOT NULL AND {same_key}
  AND (t._cdc_gen, t._cdc_commit, t._cdc_lsn) < (s._cdc_gen, s._cdc_commit, s._cdc_lsn);

-- name: missing_kept
-- Such a row cannot be made from its change alone; these are the keys that the target lacks.
SELECT s._key FROM {stage} s
WHERE s._kept IS NOT NULL AND {not_buried} AND NOT EXISTS (SELECT FROM {target} t WHERE {same_key});

-- name: lock_truncate
-- Nobody writes the table until the TRUNCATE is through.
LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE;

-- name: raise_floor
-- Whatever is older than the TRUNCATE stays out from now on; its key is the empty text.
INSERT INTO tailrace.tombstones AS d (relation, key, gen, commit, lsn) VALUES (%s, '', %s, %s, %s)
ON CONFLICT (relation, key) DO UPDATE
SET gen = excluded.gen, commit = excluded.commit, lsn = excluded.lsn, deleted_at = now()
WHERE (d.gen, d.commit, d.lsn) < (excluded.gen, excluded.commit, excluded.lsn);

-- name: truncate
-- Rows that came after the TRUNCATE, through another partition, stay.
DELETE FROM {target} WHERE (_cdc_gen, _cdc_commit, _cdc_lsn) < (%s, %s, %s);
