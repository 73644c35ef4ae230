-- What the bench of sagas asks.

-- name: latency
-- Of these, from the request to the end.
SELECT count(*)::int,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000)
FROM sagas.saga WHERE id = ANY (%s) AND status = 'COMPLETED';
