-- The statements of projections. {names} are put in by psycopg.sql.

-- name: schema
-- What a projection's database knows of its versions. `reached`: how far each stream was applied.
CREATE SCHEMA IF NOT EXISTS eventstore;
CREATE TABLE IF NOT EXISTS eventstore.builds (
  sink text PRIMARY KEY,
  projection text NOT NULL, version int NOT NULL,
  state text NOT NULL CHECK (state IN ('filling', 'built', 'past')),
  is_live boolean NOT NULL DEFAULT false,
  events bigint NOT NULL DEFAULT 0,
  began_at timestamptz NOT NULL DEFAULT now(), built_at timestamptz,
  UNIQUE (projection, version)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_is_live ON eventstore.builds (projection) WHERE is_live;
CREATE TABLE IF NOT EXISTS eventstore.reached (
  sink text, stream text COLLATE "C",
  next_pos bigint NOT NULL,
  PRIMARY KEY (sink, stream)
) WITH (fillfactor = 70);

-- name: build
-- What there is under the name of a sink.
SELECT projection, version, state, is_live, events, began_at, built_at
FROM eventstore.builds WHERE sink = %s;

-- name: builds
-- All versions, those that readers see first.
SELECT sink, projection, version, state, is_live, events, began_at, built_at
FROM eventstore.builds ORDER BY projection, is_live DESC, version DESC;

-- name: next_positions
-- Where each of these streams goes on.
SELECT stream, next_pos FROM eventstore.reached WHERE sink = %s AND stream = ANY (%s);

-- name: reach
-- With the effects, in their transaction: so each event takes effect once.
INSERT INTO eventstore.reached (sink, stream, next_pos)
SELECT %s, stream, next_pos FROM unnest(%s::text[], %s::bigint[]) AS n (stream, next_pos)
ON CONFLICT (sink, stream) DO UPDATE SET next_pos = excluded.next_pos;

-- name: batch
-- What a projection of SQL reads; its rows go with the transaction.
CREATE TEMP TABLE IF NOT EXISTS batch (
  stream text COLLATE "C", pos bigint, id uuid, type text, version int,
  data jsonb, meta jsonb, at timestamptz
) ON COMMIT DELETE ROWS;

-- name: copy_batch
-- In the order in which a stream has them.
COPY pg_temp.batch (stream, pos, id, type, version, data, meta, at) FROM STDIN;

-- name: missing
-- Events that the log should have had before one that it has, from the store itself.
SELECT stream, pos, id, type, version, data::text, meta::text, at
FROM eventstore.events WHERE stream = %s AND pos >= %s AND pos < %s ORDER BY pos LIMIT %s;

-- name: begin_build
-- One at a time: who comes second waits, and then sees what the first has made.
INSERT INTO eventstore.builds (sink, projection, version, state) VALUES (%s, %s, %s, 'filling');

-- name: end_build
-- From here on the sink follows the log.
UPDATE eventstore.builds SET state = %s, built_at = now(), events = %s WHERE sink = %s;

-- name: other_sink
-- Whose a version is: its tables can be kept by one sink only.
SELECT sink FROM eventstore.builds WHERE projection = %s AND version = %s AND sink <> %s;

-- name: lock_build
-- Of one projection only one version is filled at a time, by one process.
SELECT pg_try_advisory_lock(hashtextextended('tailrace.build.' || %s, 0));

-- name: lock_switch
-- Two that switch at once would both make the views.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.switch.' || %s, 0));

-- name: start_marks
-- Where the log went on when the store was read: what comes from there on may be new.
INSERT INTO tailrace.offsets (sink, topic, partition, next_offset)
SELECT %s, topic, partition, next_offset
FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS n (topic, partition, next_offset);

-- name: copy_reached
-- How long each stream was when the store was read.
COPY eventstore.reached (sink, stream, next_pos) FROM STDIN;

-- name: hide
-- Before another is shown: never two at once.
UPDATE eventstore.builds SET is_live = false WHERE projection = %s AND is_live;

-- name: show
-- The one that readers see.
UPDATE eventstore.builds SET is_live = true WHERE sink = %s;

-- name: forget_reached
-- Of a version that goes.
DELETE FROM eventstore.reached WHERE sink = %s;

-- name: forget_marks
-- Its sink begins anew, if it is built anew.
DELETE FROM tailrace.offsets WHERE sink = %s;

-- name: forget_build
-- Last.
DELETE FROM eventstore.builds WHERE sink = %s;

-- name: tables
-- Of a version's schema.
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))
AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname;

-- name: granted
-- Who may read the views of a projection, besides their owner; null stands for all.
SELECT c.relname, r.rolname FROM pg_class c, aclexplode(c.relacl) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind = 'v'
AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner;

-- name: is_taken
-- An empty schema may be made ahead, for its rights.
SELECT EXISTS (
  SELECT FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))
) OR %s IN ('public', 'eventstore', 'tailrace');

-- name: columns
-- Of one table, in their order.
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) AND attnum > 0
AND NOT attisdropped ORDER BY attnum;

-- name: level
-- By streams, not by offsets: a build has read beyond those that it begins at.
SELECT NOT EXISTS (
  SELECT FROM (SELECT * FROM eventstore.reached WHERE sink = %s) a
  FULL JOIN (SELECT * FROM eventstore.reached WHERE sink = %s) b USING (stream)
  WHERE a.next_pos IS DISTINCT FROM b.next_pos
);

-- name: only
-- Rows of one version that the other does not have, each as often as it is there; as text, since
-- not every type can be compared.
SELECT count(*) FROM (
  SELECT ROW({columns})::text FROM {has} AS t EXCEPT ALL SELECT ROW({columns})::text FROM {lacks} AS t
) AS rows;

-- name: highest_seq
-- How far a rebuild has to read.
SELECT coalesce(max(seq), 0) FROM eventstore.events;

-- name: copy_events
-- A window of the store, in the order in which it is read.
COPY (
  SELECT stream, pos, id, type, version, data, meta, at FROM eventstore.events
  WHERE seq > {after} AND seq <= {until} AND type = ANY ({types})
  AND at >= {from_at} AND at < {to_at} ORDER BY seq
) TO STDOUT;

-- name: copy_lengths
-- How long each stream is.
COPY (
  SELECT {sink}, stream, max(pos) + 1 FROM eventstore.events GROUP BY stream
) TO STDOUT;
