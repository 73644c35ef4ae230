-- The statements of eventstore/store.py and aggregate.py.

-- name: make_alone
-- Two that make them at once would be in each other's way.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.eventstore', 0));

-- name: schema
-- Names compare by bytes, so that a category is a range. The trigger also fires where one replicates.
CREATE SCHEMA IF NOT EXISTS eventstore;
CREATE TABLE IF NOT EXISTS eventstore.events (
  stream text COLLATE "C", pos bigint CHECK (pos >= 0),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  id uuid NOT NULL UNIQUE, type text NOT NULL, version int NOT NULL,
  data jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
  meta jsonb NOT NULL CHECK (jsonb_typeof(meta) = 'object'),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, pos)
);
CREATE INDEX IF NOT EXISTS events_by_seq ON eventstore.events USING brin (seq);
CREATE UNIQUE INDEX IF NOT EXISTS streams ON eventstore.events (stream) WHERE pos = 0;
CREATE TABLE IF NOT EXISTS eventstore.snapshots (
  stream text COLLATE "C", schema_version int, pos bigint,
  state jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, schema_version, pos)
);
CREATE TABLE IF NOT EXISTS eventstore.seals (
  stream text COLLATE "C", pos bigint,
  hash bytea NOT NULL CHECK (length(hash) = 32),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, pos)
);
CREATE TABLE IF NOT EXISTS eventstore.subject_keys (
  subject text COLLATE "C" PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  key bytea NOT NULL CHECK (length(key) = 32),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS eventstore.subject_streams (
  subject text COLLATE "C", stream text COLLATE "C", PRIMARY KEY (subject, stream)
);
CREATE OR REPLACE FUNCTION eventstore.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING HINT = 'What happened stays. Append an event that corrects it.';
END $$;
CREATE OR REPLACE TRIGGER events_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
    ON eventstore.events FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change();
ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_final;
CREATE OR REPLACE TRIGGER seals_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
    ON eventstore.seals FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change();
ALTER TABLE eventstore.seals ENABLE ALWAYS TRIGGER seals_are_final;

-- name: grant_append
-- All that a service needs: it reads and appends.
GRANT USAGE ON SCHEMA eventstore TO {role};
GRANT SELECT, INSERT ON eventstore.events, eventstore.snapshots, eventstore.subject_keys,
  eventstore.subject_streams TO {role};
GRANT SELECT ON eventstore.seals TO {role};

-- name: append
-- Who inserts the first row owns the positions behind it, so the rest cannot conflict: all or none.
WITH past AS (
  SELECT coalesce(max(pos) + 1, 0) AS length FROM eventstore.events WHERE stream = %(stream)s
), new AS (
  SELECT n, length + n - 1 AS pos, (given->>0)::uuid AS id, given->>1 AS type,
         (given->>2)::int AS version, given->3 AS data
  FROM past, jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS each (given, n)
  WHERE length = coalesce(%(expected)s::bigint, length)
), first AS (
  INSERT INTO eventstore.events (stream, pos, id, type, version, data, meta)
  SELECT %(stream)s, pos, id, type, version, data, %(meta)s::jsonb FROM new WHERE n = 1
  ON CONFLICT DO NOTHING RETURNING pos, at
), rest AS (
  INSERT INTO eventstore.events (stream, pos, id, type, version, data, meta)
  SELECT %(stream)s, new.pos, id, type, version, data, %(meta)s::jsonb
  FROM new, first WHERE n > 1 ORDER BY n
  RETURNING pos, at
)
SELECT pos, at FROM first UNION ALL SELECT pos, at FROM rest;

-- name: length
-- How many events a stream has.
SELECT coalesce(max(pos) + 1, 0) FROM eventstore.events WHERE stream = %s;

-- name: length_at
-- How many it had at a time; should the clock have gone back, up to the last event of then.
SELECT coalesce(max(pos) + 1, 0) FROM (
  SELECT pos FROM eventstore.events WHERE stream = %s AND at <= %s ORDER BY pos DESC LIMIT 1
) last;

-- name: by_id
-- Are these events there already?
SELECT stream, pos, id, type, version, data::text, meta::text, at
FROM eventstore.events WHERE id = ANY (%s) ORDER BY stream, pos;

-- name: page
-- The next events of a stream.
SELECT stream, pos, id, type, version, data::text, meta::text, at
FROM eventstore.events WHERE stream = %s AND pos >= %s AND pos < %s ORDER BY pos LIMIT %s;

-- name: streams
-- The next streams of a range of names.
SELECT stream FROM eventstore.events
WHERE pos = 0 AND stream > %s AND stream < %s ORDER BY stream LIMIT %s;

-- name: snapshot
-- The newest one that this code can use.
SELECT pos, state::text FROM eventstore.snapshots
WHERE stream = %s AND schema_version = %s AND pos < %s ORDER BY pos DESC LIMIT 1;

-- name: save_snapshot
-- Another writer may have made it, too: it would be the same.
INSERT INTO eventstore.snapshots (stream, schema_version, pos, state) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING;
