-- The statements of stuck.py.

-- name: present
-- Whether this database has sagas and their log.
SELECT to_regclass('sagas.saga') IS NOT NULL AND to_regclass('sagas.log') IS NOT NULL;

-- name: steps
-- Every step that a saga which ever began here has, by the type of saga.
SELECT DISTINCT p.type, s.step ->> 'name'
FROM sagas.plan p CROSS JOIN LATERAL json_array_elements(p.plan -> 'steps') AS s (step)
ORDER BY 1, 2;

-- name: parked
-- The last timer that rang for a saga is the one that parked it: what is parked hears none.
SELECT s.id::text, s.type, p.plan::text, s.style, s.status, s.version, s.steps::text,
       s.deadline_at, l.step, l.seq, l.at
FROM sagas.saga s
JOIN sagas.plan p ON p.hash = s.plan
CROSS JOIN LATERAL (
    SELECT step, seq, at FROM sagas.log
    WHERE subject = s.id::text AND kind = 'timed out' ORDER BY seq DESC LIMIT 1
) l
WHERE s.status IN ('PARKED', 'COMPENSATION_PARKED') AND s.ended_at IS NULL
ORDER BY l.seq LIMIT %s;

-- name: heard
-- Who has answered something in the newest lines, and where last; code that raised is no answer.
SELECT actor, max(seq)
FROM (SELECT seq, actor, kind, body FROM sagas.log ORDER BY seq DESC LIMIT 10000) newest
WHERE kind = 'heard' AND body #>> '{input,fence}' <> 'FAILED' GROUP BY actor;

-- name: overdue
-- Timers look five times a second: what is this late, no process looks at.
SELECT type, count(*), extract(epoch FROM %s - min(next_at))::float
FROM sagas.saga WHERE next_at < %s GROUP BY type ORDER BY type;

-- name: version
-- Whether a saga is still what was seen; locked, so that it stays so until the end.
SELECT version FROM sagas.saga WHERE id = %s FOR UPDATE;

-- name: moved
-- Open proposals about what is not so any more: the saga has moved, and by whom, or gave way to
-- a later one.
SELECT p.id, p.subject, l.actor, l.kind, l.reason
FROM supervision.proposals p
JOIN sagas.saga s ON s.id = (p.finding::json ->> 'saga')::uuid
LEFT JOIN LATERAL (
    SELECT actor, kind, reason FROM sagas.log
    WHERE subject = s.id::text AND kind IN ('resumed', 'gave up')
    AND seq > (p.finding::json ->> 'line')::bigint
    ORDER BY seq LIMIT 1
) l ON true
WHERE p.subject = ANY (%s) AND p.state = 'open'
AND (s.version <> (p.finding::json ->> 'version')::int
     OR EXISTS (SELECT FROM supervision.proposals n
                WHERE n.subject = p.subject AND n.rung = p.rung AND n.state = 'open' AND n.id > p.id
                AND n.finding::json ->> 'saga' = s.id::text))
ORDER BY p.id;

-- name: in_vain
-- What was done for a saga in the last day, at this step, or at any if it was to be undone.
SELECT p.id, p.subject FROM supervision.proposals p
WHERE p.subject = ANY (%(subjects)s) AND p.state = 'done'
AND p.decided_at > clock_timestamp() - interval '1 day'
AND p.finding::json ->> 'saga' = %(saga)s
AND (p.subject = %(subject)s OR p.finding::json ->> 'act' = 'compensate')
ORDER BY p.id;
