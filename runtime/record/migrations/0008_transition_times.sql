-- Transitions of a time are found by it: runs are named in the order in which they began, so parts
-- of the table that are near each other by name are near each other in time.

ALTER TABLE transition ADD INDEX IF NOT EXISTS by_time at TYPE minmax GRANULARITY 1;

ALTER TABLE transition MATERIALIZE INDEX by_time
