-- The statements of sagas/forget.py.

-- name: over
-- The sagas that have been over for longest; whoever looks at the same time takes others.
DELETE FROM sagas.saga WHERE id IN (
  SELECT id FROM sagas.saga WHERE ended_at < %s AND type = ANY (%s)
  ORDER BY ended_at LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id;

-- name: fences
-- What was decided of their steps, and what was heard of them after their end.
WITH gone AS (DELETE FROM sagas.fence WHERE saga = ANY (%(ids)s)),
     begun AS (DELETE FROM sagas.following WHERE saga = ANY (%(ids)s))
DELETE FROM sagas.heard WHERE saga = ANY (%(ids)s);

-- name: inbox
-- Messages that were taken in before then.
DELETE FROM eventstore.inbox WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM eventstore.inbox WHERE consumer = %s AND at < %s LIMIT %s
));
