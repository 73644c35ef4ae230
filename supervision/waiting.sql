-- The statements of waiting.py.

-- name: there
-- Which of the tables this database has.
SELECT to_regclass('sagas.saga') IS NOT NULL, to_regclass('supervision.proposals') IS NOT NULL,
       to_regclass('sagas.log') IS NOT NULL;

-- name: stand_still
-- How many sagas are parked, and how many no timer has looked at in time.
SELECT count(*) FILTER (WHERE status IN ('PARKED', 'COMPENSATION_PARKED')),
       count(*) FILTER (WHERE next_at < clock_timestamp() - make_interval(secs => %s))
FROM sagas.saga
WHERE ended_at IS NULL
AND (status IN ('PARKED', 'COMPENSATION_PARKED') OR next_at < clock_timestamp());

-- name: undecided
-- Proposals that are done once somebody approves.
SELECT count(*) FROM supervision.proposals WHERE state = 'open' AND rung = 'approve';
