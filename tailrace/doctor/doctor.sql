-- Questions of `tailrace doctor` to the source and to a Postgres target.

-- name: source
-- Senders that are free, the limit on kept log (megabytes, -1: none), and what our role may see.
SELECT (SELECT count(*)::int FROM pg_stat_replication) AS senders,
       current_setting('max_wal_senders')::int AS max_senders,
       (SELECT nullif(setting::bigint, -1) * 1048576
        FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS kept_bytes,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all_sessions

-- name: longest_transaction
-- It keeps the slot from moving on; the slot's own reader is none.
SELECT pid, coalesce(nullif(application_name, ''), backend_type, 'a client') AS application,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_s
FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT 1

-- name: is_read_only
-- A standby, or a role or database that is set to read.
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool

-- name: missing_rights
-- What the sink's statements need on tables that are there, and on the database.
SELECT 'table ' || n.nspname || '.' || c.relname, p.privilege
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, p.privilege))
UNION ALL
SELECT 'database ' || current_database(), 'TEMPORARY'
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
ORDER BY 1, 2

-- name: unlogged
-- Tables that a crash of the server empties.
SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'u'
  AND n.nspname || '.' || c.relname = ANY (%s)
ORDER BY 1

-- name: obstacles
-- What may fire at, refuse or hide the rows that a sink writes.
WITH target AS (
    SELECT c.oid, c.oid::regclass::text AS relation
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
)
SELECT 'trigger' AS kind, relation, quote_ident(tgname) AS name
FROM target JOIN pg_trigger ON tgrelid = target.oid
WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')
UNION ALL
SELECT CASE contype WHEN 'f' THEN 'foreign key' ELSE 'exclusion' END,
       conrelid::regclass::text, quote_ident(conname)
FROM pg_constraint
WHERE contype IN ('f', 'x') AND conparentid = 0
  AND (conrelid IN (SELECT oid FROM target) OR confrelid IN (SELECT oid FROM target))
UNION ALL
SELECT 'unique index', relation, indexrelid::regclass::text
FROM target JOIN pg_index ON indrelid = target.oid
WHERE indisunique AND NOT indisprimary
UNION ALL
SELECT 'rule', relation, quote_ident(rulename)
FROM target JOIN pg_rewrite ON ev_class = target.oid
WHERE ev_enabled IN ('O', 'A')
UNION ALL
SELECT 'row security', relation, '' FROM target WHERE row_security_active(target.oid)
ORDER BY 1, 2, 3

-- name: required
-- Columns that must be given a value, for the caller to compare with the source's.
SELECT n.nspname || '.' || c.relname AS relation, a.attname
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
  AND a.attidentity = ''
ORDER BY 1, 2
