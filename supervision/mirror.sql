-- The statements of mirror.py. {names} are put in by psycopg.sql.

-- name: source_row
-- A row as texts, with what changes whenever it is written.
SELECT ARRAY[{texts}]::text[], ARRAY[xmin::text, ctid::text] FROM {table} WHERE ({key}) = ({values});

-- name: sink_row
-- A row as texts, with the position that it is from.
SELECT ARRAY[{texts}]::text[], ARRAY[_cdc_gen, _cdc_commit, _cdc_lsn]::bigint[]
FROM {table} WHERE ({key}) = ({values});

-- name: hold_marks
-- No transaction of a worker that writes this topic's table is under way, or comes before our end.
SELECT gen, commit, lsn FROM tailrace.offsets WHERE sink = %s AND topic = %s
ORDER BY partition FOR UPDATE;

-- name: floor
-- Where the table was truncated: what lies below that is gone, and stays out.
SELECT gen, commit, lsn FROM tailrace.tombstones WHERE relation = %s AND key = '';

-- name: insert
-- A row that the sink lacks.
INSERT INTO {table} ({columns}, _cdc_gen, _cdc_commit, _cdc_lsn) VALUES ({all_values}, %s, %s, %s);

-- name: update
-- The position stays: what comes later is above it.
UPDATE {table} SET ({columns}) = ROW ({all_values}) WHERE ({key}) = ({values});

-- name: delete_row
-- A row that the source does not have.
DELETE FROM {table} WHERE ({key}) = ({values});

-- name: bury_row
-- As the worker does, or a repeat would bring it back (I3).
INSERT INTO tailrace.tombstones AS d (relation, key, gen, commit, lsn) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (relation, key) DO UPDATE
SET gen = excluded.gen, commit = excluded.commit, lsn = excluded.lsn, deleted_at = now()
WHERE (d.gen, d.commit, d.lsn) < (excluded.gen, excluded.commit, excluded.lsn);
