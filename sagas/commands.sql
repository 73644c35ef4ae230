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
-- What is known of these steps. The row is the lock: who comes second waits here, and then sees
-- what the first has decided.
INSERT INTO sagas.fence AS f (saga, step, type, action)
SELECT saga, step, type, action
FROM json_to_recordset(%s) AS n (saga uuid, step text, type text, action text)
ORDER BY saga, step COLLATE "C"
ON CONFLICT (saga, step) DO UPDATE SET type = f.type
RETURNING saga, step, state, command::text, command_version,
          answer_type, answer_version, answer::text;

-- name: decide
-- What was decided about them.
UPDATE sagas.fence f
SET state = n.state, command = n.command::json, command_version = n.command_version,
    answer_type = n.answer_type, answer_version = n.answer_version, answer = n.answer::json
FROM json_to_recordset(%s)
     AS n (saga uuid, step text, state text, command text, command_version int,
           answer_type text, answer_version int, answer text)
WHERE f.saga = n.saga AND f.step = n.step COLLATE "C";

-- name: forget
-- Nothing was decided, as after a failure: it may be asked again.
DELETE FROM sagas.fence f USING json_to_recordset(%s) AS n (saga uuid, step text)
WHERE f.saga = n.saga AND f.step = n.step COLLATE "C" AND f.state IS NULL;
