-- name: beat
-- Debezium runs this at every heartbeat: the row tells a fail-over or restore (other timeline or
-- system) in the stream itself, and moves the slot while the captured tables are quiet.
INSERT INTO {heartbeat} AS beat (slot, system_identifier, timeline, beat_at)
SELECT {slot}, system_identifier::text,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,
       clock_timestamp()
FROM pg_control_system()
ON CONFLICT (slot) DO UPDATE
SET system_identifier = excluded.system_identifier,
    timeline = excluded.timeline,
    beat_at = excluded.beat_at
