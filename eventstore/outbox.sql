-- The statements of eventstore/outbox.py.

-- name: schema
-- A ring of seven partitions, one a day of the week (UTC): none has to be made ahead, so that no
-- INSERT can fail for want of one, and a day that is through is emptied without a DELETE.
-- `json`, not `jsonb`: the payload leaves byte for byte as it was written.
CREATE SCHEMA IF NOT EXISTS eventstore;
CREATE TABLE IF NOT EXISTS eventstore.outbox (
  id uuid NOT NULL,
  aggregatetype text NOT NULL,
  aggregateid text NOT NULL,
  type text NOT NULL,
  payload json NOT NULL,
  ce_source text NOT NULL,
  dataschema text NOT NULL,
  correlationid text,
  causationid text,
  traceparent text,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seq bigserial,
  day smallint NOT NULL DEFAULT extract(isodow FROM clock_timestamp() AT TIME ZONE 'UTC'),
  PRIMARY KEY (id, day)
) PARTITION BY LIST (day);
CREATE TABLE IF NOT EXISTS eventstore.outbox_1 PARTITION OF eventstore.outbox FOR VALUES IN (1);
CREATE TABLE IF NOT EXISTS eventstore.outbox_2 PARTITION OF eventstore.outbox FOR VALUES IN (2);
CREATE TABLE IF NOT EXISTS eventstore.outbox_3 PARTITION OF eventstore.outbox FOR VALUES IN (3);
CREATE TABLE IF NOT EXISTS eventstore.outbox_4 PARTITION OF eventstore.outbox FOR VALUES IN (4);
CREATE TABLE IF NOT EXISTS eventstore.outbox_5 PARTITION OF eventstore.outbox FOR VALUES IN (5);
CREATE TABLE IF NOT EXISTS eventstore.outbox_6 PARTITION OF eventstore.outbox FOR VALUES IN (6);
CREATE TABLE IF NOT EXISTS eventstore.outbox_7 PARTITION OF eventstore.outbox FOR VALUES IN (7);
CREATE OR REPLACE FUNCTION eventstore.outbox_takes_inserts_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'eventstore.outbox takes inserts only: an event that was published stays true';
END $$;
CREATE OR REPLACE TRIGGER inserts_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.outbox
FOR EACH STATEMENT EXECUTE FUNCTION eventstore.outbox_takes_inserts_only();

-- name: publish
-- In the order in which they are given; the same id again is the same event.
INSERT INTO eventstore.outbox
  (id, aggregatetype, aggregateid, type, payload, ce_source, dataschema,
   correlationid, causationid, traceparent)
SELECT id, aggregatetype, aggregateid, type, payload::json, ce_source, dataschema,
       correlationid, causationid, traceparent
FROM ROWS FROM (
       json_to_recordset(%s) AS (id uuid, aggregatetype text, aggregateid text, type text,
                                 payload text, ce_source text, dataschema text,
                                 correlationid text, causationid text, traceparent text)
     ) WITH ORDINALITY AS n (id, aggregatetype, aggregateid, type, payload, ce_source, dataschema,
                             correlationid, causationid, traceparent, nth)
ORDER BY n.nth
ON CONFLICT DO NOTHING;

-- name: today
-- The day that inserts go to now.
SELECT extract(isodow FROM clock_timestamp() AT TIME ZONE 'UTC')::int;

-- name: close_day
-- Granted once every transaction that wrote this day has ended.
LOCK TABLE {partition} IN SHARE MODE;

-- name: has_rows
-- An empty day needs nothing.
SELECT EXISTS (SELECT FROM {partition});

-- name: own_commit
-- With an id of its own a transaction leaves a commit in the log, after all that came before it.
SELECT pg_current_xact_id();

-- name: end_of_log
-- Past every commit of the closed days.
SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint;

-- name: slots
-- How far whoever reads this database's log has confirmed: then it is durable in Kafka.
SELECT slot_name, (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots
WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name;

-- name: empty_day
-- Of one partition alone, which is not published: nobody downstream loses a row.
TRUNCATE {partition};
