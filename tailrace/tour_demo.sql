-- What the tour's demo and bench ask the orchestrator's database.

-- name: counts
-- Tours by how they are.
SELECT status, count(*)::int FROM sagas.saga GROUP BY 1 ORDER BY 2 DESC;

-- name: latency
-- Of the completed ones, from the request to the end.
SELECT style, count(*)::int,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - began_at) * 1000)
FROM sagas.saga WHERE status = 'COMPLETED' GROUP BY 1 ORDER BY 1;
