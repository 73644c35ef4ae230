-- The shop's source database. It is small, yet holds what makes change data capture hard: large
-- values that an update leaves alone, composite and changing keys, odd names, values with no
-- counterpart in JSON (NaN, infinity, bytea), NULL beside the empty string.

CREATE TYPE order_state AS ENUM ('new', 'paid', 'shipped', 'cancelled');

CREATE TABLE customers (
    id               bigint PRIMARY KEY,
    email            text NOT NULL,
    name             varchar(80) NOT NULL,
    nickname         text DEFAULT 'friend',
    "Loyalty Points" integer DEFAULT 100,
    preferences      jsonb NOT NULL DEFAULT '{}',
    tags             text[],
    lucky_numbers    integer[],
    referral         uuid,
    born             date,
    active           boolean DEFAULT true,
    member_until     timestamptz DEFAULT 'infinity',
    avatar           bytea
);

CREATE TABLE products (
    id             bigint PRIMARY KEY,
    sku            text NOT NULL,
    title          text NOT NULL,
    -- 20 to 60 kB of text that hardly compresses: stored out of line, absent from most updates.
    description    text NOT NULL,
    price          numeric(12, 2) NOT NULL,
    weight_kg      numeric,
    rating         double precision,
    attributes     jsonb,
    available_from date DEFAULT '-infinity',
    lead_time      interval,
    discontinued   boolean NOT NULL DEFAULT false,
    -- Always the sum of order_items.quantity: every order writes here, so transactions collide.
    sold           bigint NOT NULL DEFAULT 0
);

CREATE TABLE orders (
    id          bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers ON UPDATE CASCADE,
    reference   uuid NOT NULL,
    state       order_state NOT NULL DEFAULT 'new',
    -- Always the sum of quantity * unit_price of its items.
    total       numeric(14, 2) NOT NULL DEFAULT 0,
    placed_at   timestamptz NOT NULL,
    ship_by     date DEFAULT 'infinity',
    note        text
);
CREATE INDEX orders_of_customer ON orders (customer_id);

CREATE TABLE order_items (
    order_id   bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
    line       integer NOT NULL,
    product_id bigint NOT NULL REFERENCES products,
    quantity   integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(12, 2) NOT NULL,
    gift       boolean DEFAULT false,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE payments (
    id          uuid PRIMARY KEY,
    order_id    bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
    amount      numeric(14, 2) NOT NULL,
    method      text NOT NULL DEFAULT 'card',
    details     jsonb,
    receipt     bytea,
    refunded_at timestamptz
);
CREATE INDEX payments_of_order ON payments (order_id);

CREATE TABLE "Gift Cards" (
    "Code"      text PRIMARY KEY,
    "Issued To" bigint NOT NULL REFERENCES customers ON UPDATE CASCADE ON DELETE CASCADE,
    "Balance"   numeric(10, 2) DEFAULT 25,
    "Valid For" interval DEFAULT '1 year'
);
CREATE INDEX gift_cards_of_customer ON "Gift Cards" ("Issued To");
