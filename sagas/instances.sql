-- The statements of sagas/instances.py.

-- name: schema
-- `plan`: the one that an instance began with, by its hash. `next_at`: when to look at it again
-- without being told, null where only a message or a person moves it.
CREATE SCHEMA IF NOT EXISTS sagas;
CREATE TABLE IF NOT EXISTS sagas.plan (
  hash text PRIMARY KEY, type text NOT NULL, plan json NOT NULL
);
CREATE TABLE IF NOT EXISTS sagas.saga (
  id uuid PRIMARY KEY,
  type text NOT NULL, style text NOT NULL CHECK (style IN ('orchestrated', 'choreographed')),
  plan text NOT NULL REFERENCES sagas.plan,
  status text NOT NULL,
  version int NOT NULL,
  steps json NOT NULL,
  request json NOT NULL, request_version int NOT NULL,
  began_by text NOT NULL, began_at timestamptz NOT NULL, ended_at timestamptz,
  deadline_at timestamptz NOT NULL, next_at timestamptz
) WITH (fillfactor = 60);
CREATE INDEX IF NOT EXISTS saga_next ON sagas.saga (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS saga_over ON sagas.saga (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS saga_live ON sagas.saga (type, status) WHERE ended_at IS NULL;

-- name: begin
-- A saga of this id may have begun: then this is that one. Its first commands are of version 0.
-- The same plan again is there already.
WITH kept AS (
  INSERT INTO sagas.plan (hash, type, plan) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
)
INSERT INTO sagas.saga (id, type, style, plan, status, version, steps, request, request_version,
                        began_by, began_at, deadline_at, next_at)
VALUES (%s, %s, %s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING;

-- name: named
-- These, if they are there and not over; locked in one order.
SELECT s.id, s.type, s.style, p.plan::text, s.status, s.version, s.steps::text,
       s.request::text, s.request_version, s.deadline_at, s.next_at
FROM sagas.saga s JOIN sagas.plan p ON p.hash = s.plan
WHERE s.id = ANY (%s) AND s.ended_at IS NULL ORDER BY s.id FOR UPDATE OF s;

-- name: due
-- Those whose time has come, and that nobody else works on.
SELECT s.id, s.type, s.style, p.plan::text, s.status, s.version, s.steps::text,
       s.request::text, s.request_version, s.deadline_at, s.next_at
FROM sagas.saga s JOIN sagas.plan p ON p.hash = s.plan
WHERE s.next_at <= %s AND s.type = ANY (%s)
ORDER BY s.next_at LIMIT %s FOR UPDATE OF s SKIP LOCKED;

-- name: save
-- Only over the version that was read, whoever else may have written meanwhile. To be looked at too
-- early costs less than a new entry in every index each time something is heard.
UPDATE sagas.saga s
SET status = n.status, version = s.version + 1, steps = n.steps::json, ended_at = n.ended_at,
    next_at = CASE WHEN s.next_at > %s AND s.next_at < n.next_at THEN s.next_at
                   ELSE n.next_at END
FROM json_to_recordset(%s) AS n (id uuid, version int, status text, steps text,
                                 next_at timestamptz, ended_at timestamptz)
WHERE s.id = n.id AND s.version = n.version;

-- name: live_plans
-- What instances that are not over need.
SELECT s.type, p.plan::text, count(*), (array_agg(s.id::text ORDER BY s.began_at))[1:5]
FROM sagas.saga s JOIN sagas.plan p ON p.hash = s.plan
WHERE s.ended_at IS NULL AND s.type = ANY (%s) GROUP BY 1, 2 ORDER BY 1, 3 DESC;

-- name: listed
-- Sagas for people, those that need somebody first.
SELECT id::text, type, style, status, began_by, began_at, ended_at, deadline_at, next_at, steps::text
FROM sagas.saga
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(all)s OR ended_at IS NULL)
ORDER BY status NOT IN ('PARKED', 'COMPENSATION_PARKED'), ended_at IS NOT NULL, began_at DESC
LIMIT %(limit)s;

-- name: shown
-- One of them.
SELECT id::text, type, style, status, began_by, began_at, ended_at, deadline_at, next_at, steps::text
FROM sagas.saga WHERE id = %s;

-- name: counted
-- How many there are of each.
SELECT type, status, count(*) FROM sagas.saga GROUP BY 1, 2 ORDER BY 1, 2;
