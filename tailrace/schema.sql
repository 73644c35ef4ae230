-- The statements of tailrace/schema.py, for the source and the target alike.

-- name: columns
-- Columns with the base type of domains; types outside pg_catalog come with their schema.
SELECT n.nspname, c.relname, a.attname,
       format_type(t.oid, CASE WHEN t0.typtype = 'd' THEN t0.typtypmod ELSE a.atttypmod END),
       CASE WHEN b.typtype = 'e' THEN 'enum' ELSE b.typname END, e.oid IS NOT NULL,
       coalesce(array_position(i.indkey::int[], a.attnum::int), -1),
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       CASE WHEN b.typtype = 'e' THEN b.oid END,
       x.extname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t0 ON t0.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE WHEN t0.typtype = 'd' THEN t0.typbasetype ELSE t0.oid END
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
JOIN pg_type b ON b.oid = coalesce(e.oid, t.oid)
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_depend p ON p.classid = 'pg_type'::regclass AND p.objid = b.oid AND p.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = p.refobjid
WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY (%s)
ORDER BY n.nspname, c.relname, a.attnum;

-- name: enums
-- The labels of enum types, in their order.
SELECT t.oid, n.nspname, t.typname, array_agg(l.enumlabel ORDER BY l.enumsortorder)
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_enum l ON l.enumtypid = t.oid
WHERE t.oid = ANY (%s) OR n.nspname || '.' || t.typname = ANY (%s)
GROUP BY t.oid, n.nspname, t.typname;

-- name: present
-- What of these the database has: schemas, extensions, and the sink's own tables (older targets
-- lack the second).
SELECT nspname FROM pg_namespace
UNION ALL SELECT 'extension ' || extname FROM pg_extension
UNION ALL SELECT 'sink tables' WHERE to_regclass('tailrace.offsets') IS NOT NULL
UNION ALL SELECT 'parked table' WHERE to_regclass('tailrace.parked') IS NOT NULL;

-- name: create_table
-- The source's columns and key, and the guards.
CREATE TABLE {table} ({columns}, {guards}, PRIMARY KEY ({key}));

-- name: guards
-- A row's position, which the sink compares before it overwrites.
_cdc_gen int NOT NULL DEFAULT 0, _cdc_commit bigint NOT NULL DEFAULT -1,
_cdc_lsn bigint NOT NULL DEFAULT 0;

-- name: add_guards
-- For a table that was there before.
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS _cdc_gen int NOT NULL DEFAULT 0,
ADD COLUMN IF NOT EXISTS _cdc_commit bigint NOT NULL DEFAULT -1,
ADD COLUMN IF NOT EXISTS _cdc_lsn bigint NOT NULL DEFAULT 0;

-- name: add_column
-- Nullable: the source fills it.
ALTER TABLE {table} ADD COLUMN {column};

-- name: create_enum
-- Before the tables that use it.
CREATE TYPE {type} AS ENUM ({labels});

-- name: add_label
-- At the end of the labels that are there.
ALTER TYPE {type} ADD VALUE IF NOT EXISTS {label};
