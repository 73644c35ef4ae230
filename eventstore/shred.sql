-- The statements of eventstore/shred.py; the tables are made in store.sql.

-- name: make_keys
-- Where a subject has none yet; whose streams hold something of whom is kept for its snapshots.
WITH wanted AS (
  SELECT * FROM unnest(%(subjects)s::text[], %(ids)s::uuid[], %(keys)s::bytea[]) AS w (subject, id, key)
), made AS (
  INSERT INTO eventstore.subject_keys (subject, id, key) SELECT subject, id, key FROM wanted
  ORDER BY subject ON CONFLICT DO NOTHING
)
INSERT INTO eventstore.subject_streams (subject, stream)
SELECT subject, %(stream)s FROM wanted ORDER BY subject ON CONFLICT DO NOTHING;

-- name: keys_of
-- The keys of subjects.
SELECT subject, id, key FROM eventstore.subject_keys WHERE subject = ANY (%s);

-- name: keys
-- Those that are still there.
SELECT id, key FROM eventstore.subject_keys WHERE id = ANY (%s);

-- name: forget
-- From now on nobody can read what is encrypted with it.
DELETE FROM eventstore.subject_keys WHERE subject = %s;

-- name: streams_of
-- Where something of a subject was stored.
SELECT stream FROM eventstore.subject_streams WHERE subject = %s ORDER BY stream;

-- name: drop_snapshots
-- They hold the plain values; the next ones will not.
DELETE FROM eventstore.snapshots WHERE stream = ANY (%s);
