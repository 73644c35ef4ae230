-- The statements of sagas/following.py.

-- name: schema
-- What a participant has heard of choreographed sagas that are not over.
CREATE SCHEMA IF NOT EXISTS sagas;
CREATE TABLE IF NOT EXISTS sagas.following (
  saga uuid PRIMARY KEY, type text NOT NULL, plan json NOT NULL,
  request json NOT NULL, request_version int NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS sagas.heard (
  saga uuid, step text COLLATE "C",
  fence text NOT NULL, type text NOT NULL, version int NOT NULL, data json NOT NULL,
  PRIMARY KEY (saga, step)
) WITH (fillfactor = 70);

-- name: begun
-- The same again is known already.
INSERT INTO sagas.following (saga, type, plan, request, request_version)
SELECT saga, type, plan, request, version
FROM json_to_recordset(%s) AS n (saga uuid, type text, plan json, request json, version int)
ON CONFLICT DO NOTHING;

-- name: heard
-- What was done may be undone later; all else is final.
INSERT INTO sagas.heard (saga, step, fence, type, version, data)
SELECT saga, step, fence, type, version, data
FROM json_to_recordset(%s)
     AS n (saga uuid, step text, fence text, type text, version int, data json)
ORDER BY saga, step COLLATE "C"
ON CONFLICT (saga, step) DO UPDATE
SET fence = excluded.fence, type = excluded.type, version = excluded.version, data = excluded.data
WHERE heard.fence = 'DONE';

-- name: known
-- All that is known of these.
SELECT f.saga, f.type, f.plan::text, f.request::text, f.request_version,
       coalesce((SELECT json_agg(json_build_array(h.step, h.fence, h.type, h.version, h.data))
                 FROM sagas.heard h WHERE h.saga = f.saga), '[]')::text
FROM sagas.following f WHERE f.saga = ANY (%s) ORDER BY f.saga;

-- name: over
-- Its end was announced, and what comes late needs no reaction.
WITH gone AS (DELETE FROM sagas.following WHERE saga = ANY (%(ids)s))
DELETE FROM sagas.heard WHERE saga = ANY (%(ids)s);
