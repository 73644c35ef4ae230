-- The log of what operators do, in the source's control schema.

-- name: present
-- Schema and table, which are made on first use.
SELECT to_regnamespace({namespace}::text) IS NOT NULL, to_regclass({table}::text) IS NOT NULL

-- name: make_alone
-- Two that make them at once would be in each other's way.
SELECT pg_advisory_xact_lock(hashtextextended('tailrace.actions', 0))

-- name: make_schema
-- `connector apply` makes it, too. Asks for a right on the database even where it is there.
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: make
-- The trigger also fires in sessions that replicate.
CREATE TABLE IF NOT EXISTS {relation} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    via text NOT NULL CHECK (via IN ('cli', 'dashboard')),
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    detail jsonb,
    ends bigint UNIQUE REFERENCES {relation} (id),
    outcome text,
    CHECK ((ends IS NULL) = (outcome IS NULL))
);
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log of actions is append-only: % is refused', TG_OP;
END $$;
CREATE OR REPLACE TRIGGER actions_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON {relation}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
ALTER TABLE {relation} ENABLE ALWAYS TRIGGER actions_are_final

-- name: begin
-- Before the act.
INSERT INTO {relation} (actor, via, action, target, reason, detail)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING id

-- name: end
-- After it: a row of its own, since none is ever changed.
INSERT INTO {relation} (actor, via, action, target, reason, ends, outcome)
SELECT actor, via, action, target, '', id, %s FROM {relation} WHERE id = %s

-- name: recent
-- Acts with their outcomes, the newest first.
SELECT b.id, b.at, b.actor, b.via, b.action, b.target, b.reason, b.detail, e.outcome, e.at
FROM {relation} b LEFT JOIN {relation} e ON e.ends = b.id
WHERE b.ends IS NULL ORDER BY b.id DESC LIMIT %s
