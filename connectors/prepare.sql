-- name: schema
-- Our two control tables live apart from the application's.
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: heartbeat
-- One row a slot, written by Debezium at each heartbeat.
CREATE TABLE {table} (
    slot text PRIMARY KEY,
    system_identifier text NOT NULL,
    timeline int NOT NULL,
    beat_at timestamptz NOT NULL
)

-- name: signal
-- Debezium's signal table: ad hoc and healing snapshots are asked for here.
CREATE TABLE {table} (id text PRIMARY KEY, type text NOT NULL, data text)

-- name: grant
-- The connector writes both tables; it needs nothing else in this schema.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE ON {table} TO {role}

-- name: publication
-- Exactly the configured tables; a partitioned table's changes arrive under its own name.
CREATE PUBLICATION {publication} FOR TABLE {tables}
    WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)

-- name: publication_remark
-- By this we know it for ours, and may take tables out of it.
COMMENT ON PUBLICATION {publication} IS {remark}

-- name: publication_options
-- Without all four operations changes would be missing.
ALTER PUBLICATION {publication}
    SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)

-- name: add_table
-- Needs ownership of the table.
ALTER PUBLICATION {publication} ADD TABLE {table}

-- name: drop_table
-- Its changes stop arriving.
ALTER PUBLICATION {publication} DROP TABLE {table}

-- name: drop_publication
-- Only ever on request.
DROP PUBLICATION {publication}

-- name: identity_full
-- The log then holds the whole old row.
ALTER TABLE {table} REPLICA IDENTITY FULL

-- name: identity_default
-- The log then holds the old primary key.
ALTER TABLE {table} REPLICA IDENTITY DEFAULT

-- name: identity_index
-- The log then holds the old values of that index's columns.
ALTER TABLE {table} REPLICA IDENTITY USING INDEX {index}

-- name: slot
-- From here on the server keeps its log for the connector.
SELECT pg_create_logical_replication_slot({slot}, 'pgoutput')

-- name: slot_with_failover
-- Postgres 17 and later: standbys that synchronise slots can take this one over.
SELECT pg_create_logical_replication_slot({slot}, 'pgoutput', failover => true)

-- name: drop_slot
-- Only ever on request.
SELECT pg_drop_replication_slot({slot})
