-- name: server
-- What the whole server allows.
SELECT current_setting('server_version_num')::int AS version_num,
       current_setting('wal_level') AS wal_level,
       pg_is_in_recovery() AS in_recovery,
       current_setting('max_replication_slots')::int AS max_slots,
       (SELECT count(*)::int FROM pg_replication_slots) AS slots,
       current_database() AS database

-- name: role
-- May the connector's role log in and stream? Managed services grant the latter by membership.
SELECT rolcanlogin AS can_login,
       rolreplication OR rolsuper OR EXISTS (
           SELECT FROM pg_roles AS granted
           WHERE granted.rolname IN ('rds_replication', 'rds_superuser', 'rdsrepladmin')
             AND pg_has_role(role.oid, granted.oid, 'member')
       ) AS may_replicate
FROM pg_roles AS role
WHERE rolname = %(role)s

-- name: tables
-- The configured tables that exist, with the indexes that could identify a row: unique, complete,
-- checked at once, on plain columns that are never NULL. The primary key comes first.
SELECT want.schema, want.name, relation.oid::int AS oid, relation.relkind AS kind,
       relation.relpersistence AS persistence,
       coalesce(has_table_privilege(role.oid, relation.oid, 'SELECT')
                AND has_schema_privilege(role.oid, space.oid, 'USAGE'), false) AS may_select,
       ARRAY(SELECT DISTINCT leaf.relreplident::text
             FROM pg_partition_tree(relation.oid) AS tree
             JOIN pg_class AS leaf ON leaf.oid = tree.relid
             WHERE tree.isleaf
             UNION SELECT relation.relreplident::text) AS identities,
       ARRAY(SELECT tree.relid::regclass::text FROM pg_partition_tree(relation.oid) AS tree
             WHERE tree.isleaf AND tree.relid <> relation.oid ORDER BY 1) AS partitions,
       ARRAY(SELECT jsonb_build_object(
                 'index', indexed.relname,
                 'primary', i.indisprimary,
                 'identity', i.indisreplident,
                 'columns', (SELECT jsonb_agg(a.attname ORDER BY k.place)
                             FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                             JOIN pg_attribute AS a
                               ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                             WHERE k.place <= i.indnkeyatts))
             FROM pg_index AS i
             JOIN pg_class AS indexed ON indexed.oid = i.indexrelid
             WHERE i.indrelid = relation.oid AND i.indisunique AND i.indisvalid
               AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
               AND NOT EXISTS (SELECT FROM unnest(i.indkey) AS k
                               JOIN pg_attribute AS a
                                 ON a.attrelid = i.indrelid AND a.attnum = k
                               WHERE NOT a.attnotnull)
             ORDER BY i.indisprimary DESC, indexed.relname) AS keys
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS want (schema, name)
JOIN pg_namespace AS space ON space.nspname = want.schema
JOIN pg_class AS relation
  ON relation.relnamespace = space.oid AND relation.relname = want.name
 AND relation.relkind IN ('r', 'p', 'f', 'v', 'm')
LEFT JOIN pg_roles AS role ON role.rolname = %(role)s

-- name: columns
-- Each column with the type below its domains, and the element's type when that is an array.
WITH RECURSIVE resolved AS (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attstorage,
           a.attgenerated, a.attndims::int AS dimensions,
           t.oid AS type, t.typtype, t.typbasetype
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.attrelid, r.attnum, r.attname, r.atttypid, r.atttypmod, r.attstorage,
           r.attgenerated, greatest(r.dimensions, d.typndims),
           t.oid, t.typtype, t.typbasetype
    FROM resolved AS r
    JOIN pg_type AS d ON d.oid = r.type
    JOIN pg_type AS t ON t.oid = r.typbasetype
    WHERE r.typtype = 'd'
)
SELECT r.attrelid::int AS oid, r.attname AS name, format_type(r.atttypid, r.atttypmod) AS shown,
       coalesce(element.typname, base.typname) AS type,
       coalesce(element.typtype, base.typtype) AS kind,
       element.oid IS NOT NULL AS is_array,
       r.dimensions, r.attstorage <> 'p' AS toastable, r.attgenerated <> '' AS generated
FROM resolved AS r
JOIN pg_type AS base ON base.oid = r.type
LEFT JOIN pg_type AS element ON base.typcategory = 'A' AND element.oid = base.typelem
WHERE r.typtype <> 'd'
ORDER BY r.attrelid, r.attnum

-- name: publication
-- The publication's own options, and the comment by which we know our own.
SELECT puballtables AS all_tables, pubviaroot AS via_root,
       pubinsert AND pubupdate AND pubdelete AND pubtruncate AS all_operations,
       obj_description(oid, 'pg_publication') AS remark
FROM pg_publication
WHERE pubname = %(publication)s

-- name: publication_tables
-- What it publishes; not named: by its schema or by all tables. As JSON, because the columns for
-- row filters and column lists came with Postgres 15.
SELECT p.schemaname AS schema, p.tablename AS name,
       named.rel IS NOT NULL AS named,
       coalesce(named.rel ->> 'prqual', named.rel ->> 'prattrs') IS NOT NULL AS partial
FROM pg_publication_tables AS p
LEFT JOIN LATERAL (
    SELECT to_jsonb(r) AS rel
    FROM pg_publication_rel AS r
    JOIN pg_publication AS publication ON publication.oid = r.prpubid
    JOIN pg_class AS c ON c.oid = r.prrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE publication.pubname = p.pubname
      AND n.nspname = p.schemaname AND c.relname = p.tablename
) AS named ON true
WHERE p.pubname = %(publication)s
ORDER BY 1, 2

-- name: slot
-- As JSON, because failover and invalidation_reason came with Postgres 17.
SELECT to_jsonb(slot) || jsonb_build_object(
           'reader', (SELECT concat_ws(' ', nullif(application_name, ''), host(client_addr))
                      FROM pg_stat_activity WHERE pid = slot.active_pid),
           'confirmed', (slot.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint,
           'retained_bytes', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                  ELSE pg_current_wal_lsn() END - slot.restart_lsn)
       AS slot
FROM pg_replication_slots AS slot
WHERE slot_name = ANY (%(slots)s)

-- name: control
-- Heartbeat and signal table: there, and usable by the connector's role?
SELECT want.name,
       coalesce(relation.oid IS NOT NULL, false) AS there,
       coalesce(has_schema_privilege(role.oid, space.oid, 'USAGE')
           AND has_table_privilege(role.oid, relation.oid, 'SELECT')
           AND has_table_privilege(role.oid, relation.oid, 'INSERT')
           AND has_table_privilege(role.oid, relation.oid, 'UPDATE'), false) AS usable
FROM unnest(%(names)s::text[]) AS want (name)
LEFT JOIN pg_namespace AS space ON space.nspname = %(schema)s
LEFT JOIN pg_class AS relation
  ON relation.relnamespace = space.oid AND relation.relname = want.name
LEFT JOIN pg_roles AS role ON role.rolname = %(role)s

-- name: last_beat
-- When the connector last proved that it streams (milliseconds ago).
SELECT slot, (extract(epoch FROM clock_timestamp() - beat_at) * 1000)::bigint AS age_ms
FROM {heartbeat}
WHERE slot = ANY (%(slots)s)

-- name: wal_position
-- Up to where the server's log is on disk.
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint AS position
