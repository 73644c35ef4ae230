-- The statements of bench/projections.py.

-- name: fill
-- A bank that has been open for a while: each account is opened, and then paid into and out of.
INSERT INTO eventstore.events (stream, pos, id, type, version, data, meta)
SELECT 'account-' || n %% %(streams)s, n / %(streams)s, gen_random_uuid(),
       CASE WHEN n < %(streams)s THEN 'account.opened'
            WHEN n %% 3 = 0 THEN 'money.withdrawn' ELSE 'money.deposited' END,
       CASE WHEN n >= %(streams)s AND n %% 3 <> 0 THEN 2 ELSE 1 END,
       CASE WHEN n < %(streams)s THEN '{"customer": "c", "owner": "Ada Lovelace"}'::jsonb
            ELSE jsonb_build_object('amount_cents', 1 + n %% 1000) END,
       '{"actor": "bench", "correlation": "3f7b5a52"}'
FROM generate_series(0, %(events)s - 1) AS n;

-- name: settle
-- As a store that was written some time ago.
VACUUM ANALYZE eventstore.events;

-- name: empty
-- The store of the measurement before.
DROP SCHEMA eventstore CASCADE;

-- name: arrived
-- How many events a reader sees: each has opened an account.
SELECT count(*) FROM balances.accounts;

-- name: hide
-- So that the version can be dropped and built again.
UPDATE eventstore.builds SET is_live = false;
