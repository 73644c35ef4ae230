-- The statements of eventstore/subscriber_sink.py.

-- name: schema
-- What a consumer has handled. Rows may go when neither Kafka nor the outbox can bring their
-- events again.
CREATE SCHEMA IF NOT EXISTS eventstore;
CREATE TABLE IF NOT EXISTS eventstore.inbox (
  consumer text, source text, id text,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, source, id)
);
CREATE INDEX IF NOT EXISTS inbox_at ON eventstore.inbox USING brin (at);

-- name: take_in
-- The ones that this consumer has not had yet; in one order, so that two workers never wait for
-- each other.
INSERT INTO eventstore.inbox (consumer, source, id)
SELECT %s, source, id FROM json_to_recordset(%s) AS n (source text, id text) ORDER BY source, id
ON CONFLICT DO NOTHING
RETURNING source, id;
