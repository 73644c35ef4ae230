-- What tailrace/tour_proof.py asks each database of a tour.

-- name: sagas
-- Every saga with the plan it began with.
SELECT s.id, s.style, p.plan::text, s.status, s.steps::text, (s.request->>'people')::int, s.ended_at
FROM sagas.saga s JOIN sagas.plan p ON p.hash = s.plan ORDER BY s.began_at;

-- name: fences
-- What was decided of each step.
SELECT saga, step, state FROM sagas.fence;

-- name: inbox
-- Ids of messages that were taken in.
SELECT id FROM eventstore.inbox;

-- name: outbox
-- Ids of messages that were sent.
SELECT id::text, aggregatetype FROM eventstore.outbox;

-- name: bookings
-- Of flight, hotel or car.
SELECT tour, state, price_cents FROM booking;

-- name: stocks
-- What the stock says is held, beside what the bookings hold.
SELECT s.name, s.held, coalesce(sum(b.units) FILTER (WHERE b.state = 'held'), 0)::int
FROM stock s LEFT JOIN booking b USING (name) GROUP BY s.name, s.held;

-- name: payments
-- What was paid for each tour.
SELECT tour, sum(amount_cents)::bigint FROM payment GROUP BY tour;

-- name: issued
-- Tickets of each tour.
SELECT tour, count(*)::int FROM ticket GROUP BY tour;
