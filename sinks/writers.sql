-- What sinks/writers.py asks.

-- name: writers
-- Who has written the table and not ended; those that have not begun to commit are idle.
SELECT l.virtualtransaction FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.relation = to_regclass(%s) AND l.mode = 'RowExclusiveLock' AND l.granted
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND a.state IS DISTINCT FROM 'idle in transaction';
