-- The statements of the load. `%s` in the order of the columns.

-- name: insert_customer
-- All columns are given.
INSERT INTO customers (id, email, name, nickname, "Loyalty Points", preferences, tags,
                       lucky_numbers, referral, born, active, member_until, avatar)
VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s::text[],
        %s::integer[], %s::uuid, %s::date, %s, %s::timestamptz, %s::bytea);

-- name: insert_customer_with_defaults
-- The rest comes from the columns' defaults.
INSERT INTO customers (id, email, name) VALUES (%s, %s, %s);

-- name: copy_customers
-- Many in one statement: their changes share one position in the log.
COPY customers (id, email, name, nickname, "Loyalty Points", preferences, tags,
                lucky_numbers, referral, born, active, member_until, avatar) FROM STDIN;

-- name: copy_products
-- How the shop gets its products.
COPY products (id, sku, title, description, price, weight_kg, rating, attributes, available_from,
               lead_time, discontinued) FROM STDIN;

-- name: update_customer
-- What a person changes; NULL and the empty string are both usual.
UPDATE customers SET nickname = %s, "Loyalty Points" = %s, preferences = %s::jsonb,
                     tags = %s::text[], active = %s
WHERE id = %s;

-- name: rekey_customer
-- The key changes, and with it the orders and gift cards that refer to it.
UPDATE customers SET id = %s WHERE id = %s;

-- name: delete_customer
-- Gift cards go with it.
DELETE FROM customers WHERE id = %s;

-- name: reprice_product
-- Leaves the large description alone.
UPDATE products SET price = %s, weight_kg = %s::numeric, rating = %s::float8, lead_time = %s::interval
WHERE id = %s;

-- name: rewrite_product
-- Writes the large description anew.
UPDATE products SET description = %s, attributes = %s::jsonb WHERE id = %s;

-- name: sell_product
-- A negative quantity takes it back.
UPDATE products SET sold = sold + %s WHERE id = %s;

-- name: insert_order
-- The total follows in the same transaction.
INSERT INTO orders (id, customer_id, reference, placed_at, note)
VALUES (%s, %s, %s::uuid, %s::timestamptz, %s);

-- name: insert_item
-- One line of an order.
INSERT INTO order_items (order_id, line, product_id, quantity, unit_price, gift)
VALUES (%s, %s, %s, %s, %s, %s);

-- name: set_total
-- Keeps it equal to the sum of the items.
UPDATE orders SET total = %s WHERE id = %s;

-- name: set_quantity
-- The total and the product's sold follow in the same transaction.
UPDATE order_items SET quantity = %s WHERE order_id = %s AND line = %s;

-- name: rekey_item
-- A part of the composite key changes.
UPDATE order_items SET line = %s WHERE order_id = %s AND line = %s;

-- name: set_state
-- With the payment, when there is one.
UPDATE orders SET state = %s::order_state, ship_by = %s::date WHERE id = %s;

-- name: delete_order
-- Items and payments go with it.
DELETE FROM orders WHERE id = %s;

-- name: insert_payment
-- The whole total at once.
INSERT INTO payments (id, order_id, amount, method, details, receipt)
VALUES (%s::uuid, %s, %s, %s, %s::jsonb, %s::bytea);

-- name: insert_gift_card
-- Balance and validity come from the defaults.
INSERT INTO "Gift Cards" ("Code", "Issued To") VALUES (%s, %s);

-- name: rekey_gift_card
-- The key and another column change at once.
UPDATE "Gift Cards" SET "Code" = %s, "Balance" = %s WHERE "Code" = %s;

-- name: savepoint
-- Here the transaction leaves its way.
SAVEPOINT side_trip;

-- name: rollback_to_savepoint
-- And here it comes back; nothing in between may ever be seen.
ROLLBACK TO SAVEPOINT side_trip;

-- name: my_customers
-- The customers of one writer: ids with one remainder.
SELECT id FROM customers WHERE id %% %s = %s ORDER BY id;

-- name: my_orders
-- Their orders.
SELECT id, customer_id, state::text FROM orders WHERE customer_id %% %s = %s ORDER BY id;

-- name: my_items
-- And the items of these.
SELECT i.order_id, i.line, i.product_id, i.quantity, i.unit_price
FROM order_items i JOIN orders o ON o.id = i.order_id
WHERE o.customer_id %% %s = %s ORDER BY 1, 2;

-- name: my_gift_cards
-- And their gift cards.
SELECT "Code", "Issued To" FROM "Gift Cards" WHERE "Issued To" %% %s = %s ORDER BY 1;

-- name: last_ids
-- The highest ids of this writer's remainder.
SELECT coalesce((SELECT max(id) FROM customers WHERE id %% %s = %s), 0),
       coalesce((SELECT max(id) FROM orders WHERE id %% %s = %s), 0);

-- name: product_ids
-- Nobody adds or removes one under load.
SELECT id FROM products ORDER BY id;

-- name: end_predecessor
-- A session of this writer that was cut off may still be committing.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND pid <> pg_backend_pid();
