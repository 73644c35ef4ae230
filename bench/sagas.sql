-- What the bench of sagas asks.

-- name: latency
-- Of these, from the request to the end.
SELECT count(*)::int,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000)
FROM sagas.saga WHERE id = ANY (%s) AND status = 'COMPLETED';

-- name: completed
-- Tours that ended well; one that was refused and undone does not count.
SELECT count(*) FROM sagas.saga WHERE status = 'COMPLETED';

-- name: latency_dbos
-- The same of the library, which keeps whole milliseconds.
SELECT count(*)::int,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY completed_at - created_at),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY completed_at - created_at)
FROM dbos.workflow_status WHERE workflow_uuid = ANY (%s) AND status = 'SUCCESS';

-- name: plenty
-- So much money that no tour is refused.
UPDATE account SET balance_cents = 1000000000000;
