-- The statements of proposals.py.

-- name: schema
-- A difference is proposed once a rung while it is open, and not again once somebody said no.
CREATE SCHEMA IF NOT EXISTS supervision;
CREATE TABLE IF NOT EXISTS supervision.rungs (
  subject text PRIMARY KEY,
  rung text NOT NULL CHECK (rung IN ('manual', 'shadow', 'approve', 'automatic')),
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  runs int NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS supervision.proposals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subject text NOT NULL,
  rung text NOT NULL CHECK (rung IN ('shadow', 'approve', 'automatic')),
  finding text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state text NOT NULL DEFAULT 'open'
    CHECK (state IN ('open', 'done', 'failed', 'rejected', 'overtaken')),
  judgement text CHECK (judgement IN ('right', 'wrong')),
  actor text, reason text, decided_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS proposed_once ON supervision.proposals
  (subject, rung, md5(finding)) WHERE state IN ('open', 'rejected');
CREATE INDEX IF NOT EXISTS proposals_open ON supervision.proposals (subject) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS proposals_by_time ON supervision.proposals (subject, decided_at);

-- name: present
-- Whether both schemas were made: the log's comes last.
SELECT to_regclass('supervision.proposals') IS NOT NULL AND to_regclass('sagas.log') IS NOT NULL;

-- name: make_alone
-- Two that make the tables at once would be in each other's way.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.supervision', 0));

-- name: add_subject
-- Everything begins where a person does all.
INSERT INTO supervision.rungs (subject, rung) VALUES (%s, 'manual') ON CONFLICT DO NOTHING;

-- name: known_subjects
-- Those of these that are on the ladder.
SELECT subject FROM supervision.rungs WHERE subject = ANY (%s) ORDER BY subject;

-- name: rung
-- Where a subject is.
SELECT rung, since FROM supervision.rungs WHERE subject = %s;

-- name: hold_rung
-- Who decides about a subject does so after the one before, and before the next.
SELECT rung FROM supervision.rungs WHERE subject = %s FOR UPDATE;

-- name: move
-- The evidence is counted from now on.
UPDATE supervision.rungs SET rung = %s, since = clock_timestamp(), runs = 0 WHERE subject = %s;

-- name: evidence
-- What happened since the subject came to its rung.
SELECT count(*) FILTER (WHERE p.judgement = 'right' AND p.rung = 'shadow'),
       count(*) FILTER (WHERE p.judgement = 'wrong'),
       count(*) FILTER (WHERE p.state = 'done' AND p.rung = 'approve'),
       count(*) FILTER (WHERE p.state = 'failed'),
       r.runs
FROM supervision.rungs r
LEFT JOIN supervision.proposals p ON p.subject = r.subject AND p.decided_at > r.since
WHERE r.subject = %s GROUP BY r.subject;

-- name: add_run
-- A fault-injection run that was green.
UPDATE supervision.rungs SET runs = runs + 1 WHERE subject = %s;

-- name: propose
-- Nothing comes back where it is open already, or was rejected.
INSERT INTO supervision.proposals (subject, rung, finding) VALUES (%s, %s, %s)
ON CONFLICT (subject, rung, md5(finding)) WHERE state IN ('open', 'rejected') DO NOTHING
RETURNING id;

-- name: open_like
-- The one that is open already.
SELECT id FROM supervision.proposals
WHERE subject = %s AND rung = %s AND md5(finding) = md5(%s) AND state = 'open';

-- name: proposals
-- The newest first.
SELECT id, subject, rung, finding, at, state, judgement, actor, reason, decided_at
FROM supervision.proposals
WHERE (%(id)s::bigint IS NULL OR id = %(id)s) AND subject = ANY (%(subjects)s)
AND (%(all)s OR (state = 'open' AND judgement IS NULL))
ORDER BY id DESC LIMIT %(limit)s;

-- name: hold
-- Of two that decide at once, the second sees what the first did.
SELECT state FROM supervision.proposals WHERE id = %s FOR UPDATE;

-- name: decide
-- Its end.
UPDATE supervision.proposals
SET state = %s, actor = %s, reason = %s, decided_at = clock_timestamp() WHERE id = %s;

-- name: judge
-- It does not end by that: a difference stays one.
UPDATE supervision.proposals
SET judgement = %s, actor = coalesce(actor, %s), reason = coalesce(reason, %s),
    decided_at = clock_timestamp() WHERE id = %s;
