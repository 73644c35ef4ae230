-- The statements of digests.py. {names} are put in by psycopg.sql.

-- name: settings
-- The same text for the same value on both servers, whatever the session or the role prefers.
SELECT set_config(name, value, true)
FROM (VALUES ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'),
             ('bytea_output', 'hex'), ('extra_float_digits', '3'), ('xmlbinary', 'base64'),
             ('lc_monetary', 'C'), ('search_path', ''), ('quote_all_identifiers', 'off'),
             ('row_security', 'off'), ('statement_timeout', '0'))
     AS same (name, value);

-- name: columns
-- A table's columns in their order, each with its place in the key (NULL outside of it).
SELECT c.oid, a.attname, array_position(i.key, a.attnum), a.attgenerated <> ''
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
    SELECT (indkey::int2[])[0:indnkeyatts - 1] AS key
    FROM pg_index WHERE indrelid = c.oid AND (indisprimary OR indisreplident)
    ORDER BY indisprimary DESC LIMIT 1
) i ON true
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
ORDER BY a.attnum;

-- name: size
-- Pages of the table or of its largest partition, and about how many rows there are.
SELECT coalesce(max(pg_relation_size(oid)), 0) / current_setting('block_size')::bigint,
       greatest(coalesce(sum(reltuples) FILTER (WHERE relkind = 'r'), 0), 0)::bigint
FROM pg_class
WHERE oid = %s OR oid IN (SELECT relid FROM pg_partition_tree(%s));

-- name: fingerprints
-- One digest for each bucket of rows in some pages. OFFSET 0 has each row hashed once only.
SELECT h & {mask}, count(*), bit_xor(h)
FROM (SELECT {digest} AS h FROM {table} WHERE ctid >= %s::tid AND ctid < %s::tid OFFSET 0) hashed
GROUP BY 1;

-- name: rows
-- The rows of some buckets by key; bytes sort alike on every server and in Python.
SELECT key, h, {key_texts}
FROM (SELECT convert_to(ROW({key})::text, 'UTF8') AS key, {digest} AS h, {key}
      FROM {table} OFFSET 0) hashed
WHERE h & {mask} = ANY (%s)
ORDER BY key;

-- name: digest
-- A row's text tells NULL from '' and one column from the next; md5 is the same in each version.
('x' || md5(ROW({columns})::text))::bit(64)::bigint;

-- name: values
-- One row's columns as texts.
SELECT {texts} FROM {table} WHERE ({key}) = ({values});
