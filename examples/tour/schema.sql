-- What each service of the tour keeps; `tours` is where customers ask.

-- name: stock
-- flight, hotel and car: what there is, and who holds how much of it.
CREATE TABLE stock (
  name text PRIMARY KEY, price_cents int NOT NULL,
  capacity int NOT NULL, free int NOT NULL CHECK (free >= 0), held int NOT NULL CHECK (held >= 0),
  CHECK (free + held = capacity)
) WITH (fillfactor = 50);
CREATE TABLE booking (
  tour uuid PRIMARY KEY, name text NOT NULL REFERENCES stock, units int NOT NULL,
  price_cents int NOT NULL, state text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'cancelled'))
);

-- name: payment
-- Who can pay, and who has.
CREATE TABLE account (
  customer text PRIMARY KEY, balance_cents bigint NOT NULL CHECK (balance_cents >= 0)
) WITH (fillfactor = 50);
CREATE TABLE payment (
  tour uuid PRIMARY KEY, customer text NOT NULL, amount_cents bigint NOT NULL
);

-- name: tickets
-- A number for each person.
CREATE TABLE ticket (number bigserial PRIMARY KEY, tour uuid NOT NULL);
CREATE INDEX ON ticket (tour);

-- name: tours
-- What customers asked for.
CREATE TABLE tour (id uuid PRIMARY KEY, customer text NOT NULL, asked_at timestamptz DEFAULT now());

-- name: fill_stock
-- Some things to reserve.
INSERT INTO stock SELECT %s || n, %s, %s, %s, 0 FROM generate_series(1, %s) n;

-- name: fill_accounts
-- Some customers with money.
INSERT INTO account SELECT 'customer-' || n, %s FROM generate_series(1, %s) n;
