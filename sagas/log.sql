-- The statements of sagas/log.py.

-- name: schema
-- `json` keeps the text byte for byte, as the hash was made of it.
CREATE SCHEMA IF NOT EXISTS sagas;
CREATE TABLE IF NOT EXISTS sagas.log (
  seq bigint PRIMARY KEY,
  subject text NOT NULL, kind text NOT NULL, step text NOT NULL,
  actor text NOT NULL, reason text NOT NULL, body json NOT NULL,
  at timestamptz NOT NULL, hash bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX IF NOT EXISTS log_of_subject ON sagas.log (subject, seq);
CREATE OR REPLACE FUNCTION sagas.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING HINT = 'What happened stays.';
END $$;
CREATE OR REPLACE TRIGGER log_is_final BEFORE UPDATE OR DELETE OR TRUNCATE
    ON sagas.log FOR EACH STATEMENT EXECUTE FUNCTION sagas.refuse_change();
ALTER TABLE sagas.log ENABLE ALWAYS TRIGGER log_is_final;

-- name: lock
-- Until the end of the transaction: the next row needs the hash of the last one.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.sagas.log', 0));

-- name: last
-- The end of the chain.
SELECT seq, hash FROM sagas.log ORDER BY seq DESC LIMIT 1;

-- name: append
-- In one statement.
INSERT INTO sagas.log (seq, subject, kind, step, actor, reason, body, at, hash)
SELECT seq, subject, kind, step, actor, reason, body::json, at, hash
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::timestamptz[], %s::bytea[])
     AS n (seq, subject, kind, step, actor, reason, body, at, hash);

-- name: page
-- The next rows.
SELECT seq, subject, kind, step, actor, reason, body::text, at, hash FROM sagas.log
WHERE seq > %s AND (%s::text IS NULL OR subject = %s) ORDER BY seq LIMIT %s;
