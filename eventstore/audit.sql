-- The statements of eventstore/audit.py.

-- name: sealed_to
-- Up to where a stream is sealed.
SELECT max(pos) FROM eventstore.seals WHERE stream = %s;

-- name: unsealed
-- The next streams that have grown since their last seal, with that.
SELECT e.stream, coalesce(s.pos, -1), s.hash
FROM eventstore.events e LEFT JOIN LATERAL (
  SELECT pos, hash FROM eventstore.seals WHERE stream = e.stream ORDER BY pos DESC LIMIT 1
) s ON true
WHERE e.pos = 0 AND e.stream > %s AND EXISTS (
  SELECT FROM eventstore.events n WHERE n.stream = e.stream AND n.pos > coalesce(s.pos, -1)
) ORDER BY e.stream LIMIT %s;

-- name: seal
-- One that seals at the same time has seen the same.
INSERT INTO eventstore.seals (stream, pos, hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING;

-- name: everything
-- The next events of all streams as they are stored, with the seals.
SELECT e.stream, e.pos, e.id, e.type, e.version, e.data::text, e.meta::text, e.at, s.hash
FROM eventstore.events e LEFT JOIN eventstore.seals s USING (stream, pos)
WHERE (e.stream, e.pos) > (%s, %s) ORDER BY e.stream, e.pos LIMIT %s;

-- name: bereft
-- Seals whose event is gone.
SELECT s.stream, s.pos FROM eventstore.seals s LEFT JOIN eventstore.events e USING (stream, pos)
WHERE e.stream IS NULL ORDER BY s.stream, s.pos;

-- name: snapshots
-- The next snapshots of a category and a schema version.
SELECT stream, pos, state::text FROM eventstore.snapshots
WHERE schema_version = %s AND stream < %s AND (stream, pos) > (%s, %s)
ORDER BY stream, pos LIMIT %s;

-- name: count_snapshots
-- Of all schema versions.
SELECT count(*) FROM eventstore.snapshots;
