-- The statements of tailrace/watch/history.py. `grain_s` is 1 for each look, 30 for their sums.

-- name: schema
-- One table for both grains and for sources and sinks.
CREATE TABLE IF NOT EXISTS points (
  grain_s INTEGER, pipeline TEXT, sink TEXT, at_s REAL,
  state TEXT NOT NULL, lag_s REAL, behind_records INTEGER,
  arrived_per_s REAL, applied_per_s REAL, visible_s REAL, retained_bytes INTEGER,
  PRIMARY KEY (grain_s, pipeline, sink, at_s)
) WITHOUT ROWID;

-- name: add
-- A look that is added again is the same look.
INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: forget
-- An hour of looks, a day of sums, and what is yet to come, since the clock was set back.
DELETE FROM points WHERE grain_s = ? AND (at_s < ? OR at_s > ?);

-- name: series
-- Of one sink, or of the source as sink ''.
SELECT at_s, state, lag_s, behind_records, arrived_per_s, applied_per_s, visible_s, retained_bytes
FROM points
WHERE grain_s = ? AND pipeline = ? AND sink = ? AND at_s >= ? ORDER BY at_s;
