-- What holds in every state between two transactions; each query returns the rows that break it.
-- They hold in a mirror too, once it has caught up.

-- name: total_equals_items
-- An order's total is the sum of its items.
SELECT o.id, o.total, coalesce(sum(i.quantity * i.unit_price), 0) AS items
FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
GROUP BY o.id, o.total
HAVING o.total <> coalesce(sum(i.quantity * i.unit_price), 0);

-- name: sold_equals_items
-- A product has sold what the items say.
SELECT p.id, p.sold, coalesce(sum(i.quantity), 0) AS items
FROM products p LEFT JOIN order_items i ON i.product_id = p.id
GROUP BY p.id, p.sold
HAVING p.sold <> coalesce(sum(i.quantity), 0);

-- name: paid_orders_have_payments
-- An order is paid or shipped exactly when a payment of its total exists.
SELECT o.id, o.state, o.total, p.amount
FROM orders o LEFT JOIN payments p ON p.order_id = o.id
WHERE (o.state IN ('paid', 'shipped')) <> (p.amount IS NOT NULL AND p.amount = o.total);

-- name: nobody_is_missing
-- Whoever is referred to exists.
SELECT 'orders' AS what, o.id::text AS id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id
WHERE c.id IS NULL
UNION ALL
SELECT 'order_items', i.order_id || '/' || i.line FROM order_items i
LEFT JOIN orders o ON o.id = i.order_id LEFT JOIN products p ON p.id = i.product_id
WHERE o.id IS NULL OR p.id IS NULL
UNION ALL
SELECT 'gift cards', g."Code" FROM "Gift Cards" g LEFT JOIN customers c ON c.id = g."Issued To"
WHERE c.id IS NULL;
