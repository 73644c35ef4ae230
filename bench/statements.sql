-- The statements of the bench. {names} are put in by psycopg.sql.

-- name: make_source
-- The table that everything moves.
CREATE TABLE public.bench (
  id bigint PRIMARY KEY, account int NOT NULL, name text NOT NULL, amount numeric(12,2) NOT NULL,
  currency char(3) NOT NULL, created_at timestamptz NOT NULL, note text, quantity int NOT NULL,
  attempt int NOT NULL, score float8, active boolean NOT NULL, reference uuid NOT NULL,
  details jsonb NOT NULL
);

-- name: insert_rows
-- The rows that data.py describes, as an application writes them: an insert is a log record.
INSERT INTO public.bench
SELECT i, mod(i, 9973), 'customer ' || mod(i, 5000), mod(i, 100000) + mod(i, 100) / 100.0,
       (ARRAY['EUR', 'USD', 'CHF'])[mod(i, 3) + 1],
       timestamptz '2026-01-01T10:00:00Z' + mod(i, 28) * interval '1 day'
         + mod(i, 1000000) * interval '1 us',
       'note number ' || i || ' with some words in it', mod(i, 17), mod(i, 5), i / 7.0::float8,
       mod(i, 2) = 0,
       (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
       jsonb_build_object('channel', 'web', 'basket', mod(i, 99), 'tags', '["a", "b"]'::jsonb)
FROM generate_series(%s::bigint, %s::bigint) AS g (i);

-- name: drop_target
-- Each run writes a table that nobody wrote before.
DROP TABLE IF EXISTS public.bench;

-- name: copy_in
-- The floor: rows that are laid ready, in the text format.
COPY public.bench FROM STDIN;

-- name: count
-- No figure for half a job.
SELECT count(*) FROM public.bench;

-- name: reached
-- How far a sink is that writes in the order of the key, for next to nothing.
SELECT coalesce(max(id), -1) FROM public.bench;

-- name: row_versions
-- Differs if any row was written again, even with the same values.
SELECT md5(string_agg(xmin::text || ctid::text, ' ' ORDER BY id)) FROM public.bench;

-- name: wal_bytes
-- The log that the server has written since it was made.
SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint;

-- name: claims
-- Grows when a worker takes over a sink's partitions.
SELECT coalesce(sum(epoch), 0)::bigint FROM tailrace.offsets WHERE sink = %s;

-- name: make_slot
-- As a connector makes it; nobody reads it.
SELECT pg_create_logical_replication_slot(%s, 'pgoutput');

-- name: drop_slots
-- A database with a slot cannot be dropped.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE database = current_database() AND NOT active;

-- name: advance
-- A sink that has applied so many more records of a partition.
INSERT INTO tailrace.offsets AS o (sink, topic, partition, next_offset) VALUES (%s, %s, %s, %s)
ON CONFLICT (sink, topic, partition) DO UPDATE SET next_offset = o.next_offset + excluded.next_offset;
