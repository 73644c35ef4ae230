-- The statements of sagas/commands.py.

-- name: schema
-- One row for each step that this service has heard of. `state` is null only inside a transaction.
CREATE SCHEMA IF NOT EXISTS sagas;
CREATE TABLE IF NOT EXISTS sagas.fence (
  saga uuid, step text COLLATE "C",
  type text NOT NULL, action text NOT NULL, state text
    CHECK (state IN ('DONE', 'REFUSED', 'UNDONE', 'VOIDED')),
  command json, command_version int,
  answer_type text, answer_version int, answer json,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (saga, step)
) WITH (fillfactor = 70);

-- name: take
-- The row is the lock: who comes second waits here, and then sees what the first has decided.
INSERT INTO sagas.fence (saga, step, type, action)
SELECT saga, step, type, action
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS n (saga, step, type, action)
ORDER BY saga, step COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: fences
-- What is known of these steps.
SELECT f.saga, f.step, f.state, f.command::text, f.command_version,
       f.answer_type, f.answer_version, f.answer::text
FROM sagas.fence f JOIN unnest(%s::uuid[], %s::text[]) AS n (saga, step)
  ON f.saga = n.saga AND f.step = n.step COLLATE "C"
ORDER BY f.saga, f.step FOR UPDATE OF f;

-- name: decide
-- What was decided about them.
UPDATE sagas.fence f
SET state = n.state, command = n.command::json, command_version = n.command_version,
    answer_type = n.answer_type, answer_version = n.answer_version, answer = n.answer::json
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::int[],
            %s::text[])
     AS n (saga, step, state, command, command_version, answer_type, answer_version, answer)
WHERE f.saga = n.saga AND f.step = n.step COLLATE "C";

-- name: forget
-- Nothing was decided, as after a failure: it may be asked again.
DELETE FROM sagas.fence f USING unnest(%s::uuid[], %s::text[]) AS n (saga, step)
WHERE f.saga = n.saga AND f.step = n.step COLLATE "C" AND f.state IS NULL;
