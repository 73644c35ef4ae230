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
-- The lock is held until the end of the transaction: the next row needs the hash of the last one.
CREATE OR REPLACE FUNCTION sagas.append_log(entries json, now timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    chain bytea;
    hashes bytea[] := '{}';
    e record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('tailrace.sagas.log', 0));
    SELECT l.seq, l.hash INTO n, chain FROM sagas.log l ORDER BY l.seq DESC LIMIT 1;
    n := coalesce(n, 0);
    chain := coalesce(chain, '');
    FOR e IN SELECT convert_to(subject, 'UTF8') AS subject, convert_to(kind, 'UTF8') AS kind,
                    convert_to(step, 'UTF8') AS step, convert_to(actor, 'UTF8') AS actor,
                    convert_to(reason, 'UTF8') AS reason, convert_to(body, 'UTF8') AS body
             FROM json_to_recordset(entries)
             AS (subject text, kind text, step text, actor text, reason text, body text)
    LOOP
        n := n + 1;
        chain := sha256(
            chain || int8send(n) || int8send((extract(epoch FROM now) * 1000000)::bigint)
            || int4send(octet_length(e.subject)) || e.subject
            || int4send(octet_length(e.kind)) || e.kind
            || int4send(octet_length(e.step)) || e.step
            || int4send(octet_length(e.actor)) || e.actor
            || int4send(octet_length(e.reason)) || e.reason
            || int4send(octet_length(e.body)) || e.body
        );
        hashes := array_append(hashes, chain);
    END LOOP;
    INSERT INTO sagas.log (seq, subject, kind, step, actor, reason, body, at, hash)
    SELECT n - cardinality(hashes) + nth, subject, kind, step, actor, reason, body::json, now,
           hashes[nth]
    FROM ROWS FROM (json_to_recordset(entries)
                    AS (subject text, kind text, step text, actor text, reason text, body text))
         WITH ORDINALITY AS e (subject, kind, step, actor, reason, body, nth);
END $$;

-- name: last
-- The end of the chain.
SELECT seq, hash FROM sagas.log ORDER BY seq DESC LIMIT 1;

-- name: append
-- With the hashes of the chain.
SELECT sagas.append_log(%s, %s);

-- name: page
-- The next rows.
SELECT seq, subject, kind, step, actor, reason, body::text, at, hash FROM sagas.log
WHERE seq > %s AND (%s::text IS NULL OR subject = %s) ORDER BY seq LIMIT %s;

-- name: some
-- Rows by their numbers.
SELECT seq, subject, kind, step, actor, reason, body::text, at, hash FROM sagas.log
WHERE seq = ANY (%s::bigint[]);
