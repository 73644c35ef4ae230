-- The statements of tailrace/parked: what has become of letters, in the sink's own database.

-- name: is_there
-- Targets that were made before there was such a table lack it.
SELECT to_regclass('tailrace.parked') IS NOT NULL;

-- name: make_alone
-- Two that make the table at once would be in each other's way.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.parked', 0));

-- name: resolutions
-- Of these numbers.
SELECT number, outcome, effect, at, actor, reason, action_id FROM tailrace.parked
WHERE sink = %s AND log = %s AND number = ANY (%s);

-- name: count_resolved
-- Of the numbers that the topic still holds.
SELECT count(*) FROM tailrace.parked
WHERE sink = %s AND log = %s AND number >= %s AND number < %s;

-- name: resolve
-- Nobody decides twice: the caller compares how many rows this made.
INSERT INTO tailrace.parked (sink, log, number, outcome, effect, actor, reason, action_id)
SELECT %s, %s, number, %s, %s, %s, %s, %s FROM unnest(%s::bigint[]) AS n (number)
ON CONFLICT DO NOTHING;

-- name: count_each
-- Of several sinks at once.
SELECT n.sink, count(p.number)
FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS n (sink, log, first)
LEFT JOIN tailrace.parked p ON p.sink = n.sink AND p.log = n.log AND p.number >= n.first
GROUP BY n.sink;
