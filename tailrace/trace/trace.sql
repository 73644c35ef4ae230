-- What a trace asks a Postgres sink. {names} are put in by psycopg.sql.

-- name: marks
-- How far the sink is, and which life of its source it is in.
SELECT topic, partition, next_offset, gen FROM tailrace.offsets WHERE sink = %s;

-- name: row_now
-- Which change the row shows. Values go as text, of which Postgres makes what the column is.
SELECT t._cdc_gen, t._cdc_commit, t._cdc_lsn FROM {target} t WHERE {same_key};

-- name: tombstones_now
-- Where the row was deleted, and where the table was truncated (the empty key).
SELECT key, gen, commit, lsn FROM tailrace.tombstones WHERE relation = %s AND key IN (%s, '');
