-- The statements of sagas/locks.py.

-- name: schema
-- What sagas that are not over keep others off, and the commands that wait for it.
CREATE SCHEMA IF NOT EXISTS sagas;
CREATE TABLE IF NOT EXISTS sagas.lock (
  resource text COLLATE "C" PRIMARY KEY,
  saga uuid NOT NULL, steps json NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS lock_of_saga ON sagas.lock (saga);
CREATE TABLE IF NOT EXISTS sagas.lock_wait (
  saga uuid, step text COLLATE "C",
  resources text[] NOT NULL,
  address text NOT NULL, command json NOT NULL, command_version int NOT NULL,
  reason text NOT NULL, message text NOT NULL, traceparent text,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (saga, step)
);
CREATE INDEX IF NOT EXISTS lock_wait_for ON sagas.lock_wait USING gin (resources);

-- name: guard
-- Whoever decides about these resources does so alone until its end; in one order. There are 256 of
-- these locks, so that no number of resources can exhaust the server's table of them.
SELECT pg_advisory_xact_lock(hashtext('tailrace.sagas.lock'), bucket)
FROM (SELECT DISTINCT hashtext(resource) & 255 AS bucket
      FROM unnest(%s::text[]) AS n (resource) ORDER BY 1) AS buckets;

-- name: held
-- By whom.
SELECT resource, saga, steps::text FROM sagas.lock WHERE resource = ANY (%s);

-- name: waiting
-- For any of these.
SELECT saga, step, resources FROM sagas.lock_wait WHERE resources && %s::text[];

-- name: concerned
-- All that these sagas hold or wait for.
SELECT resource FROM sagas.lock WHERE saga = ANY (%(sagas)s)
UNION SELECT unnest(resources) FROM sagas.lock_wait WHERE saga = ANY (%(sagas)s);

-- name: stashed
-- A command that waits.
SELECT address, command::text, command_version, reason, message, traceparent
FROM sagas.lock_wait WHERE saga = %s AND step = %s;

-- name: hold
-- Another step of the same saga may come to it.
INSERT INTO sagas.lock (resource, saga, steps)
SELECT resource, saga, steps FROM json_to_recordset(%s) AS n (resource text, saga uuid, steps json)
ON CONFLICT (resource) DO UPDATE
SET at = CASE WHEN lock.saga = excluded.saga THEN lock.at ELSE excluded.at END,
    saga = excluded.saga, steps = excluded.steps;

-- name: free
-- Nobody holds these any more.
DELETE FROM sagas.lock WHERE resource = ANY (%s);

-- name: stash
-- The same command again waits already.
INSERT INTO sagas.lock_wait (saga, step, resources, address, command, command_version, reason,
                             message, traceparent)
SELECT saga, step, resources, address, command::json, command_version, reason, message, traceparent
FROM json_to_recordset(%s)
     AS n (saga uuid, step text, resources text[], address text, command text,
           command_version int, reason text, message text, traceparent text)
ON CONFLICT DO NOTHING;

-- name: unstash
-- They were run, refused or voided.
DELETE FROM sagas.lock_wait w USING json_to_recordset(%s) AS n (saga uuid, step text)
WHERE w.saga = n.saga AND w.step = n.step COLLATE "C";
