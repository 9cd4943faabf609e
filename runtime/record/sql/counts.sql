-- counts: how many rows each table holds as written, up to a cursor.
-- default writers = []
-- default positions = []
-- default since = 0
SELECT table, count() AS rows FROM (
  SELECT 'event' AS table, writer, pos, at FROM event
  UNION ALL SELECT 'transition' AS table, writer, pos, at FROM transition
  UNION ALL SELECT 'attempt' AS table, writer, pos, at FROM attempt
  UNION ALL SELECT 'run' AS table, writer, pos, at FROM run
  UNION ALL SELECT 'proposal' AS table, writer, pos, at FROM proposal
  UNION ALL SELECT 'verdict' AS table, writer, pos, at FROM verdict
  UNION ALL SELECT 'outcome' AS table, writer, pos, at FROM outcome
  UNION ALL SELECT 'experiment' AS table, writer, pos, at FROM experiments
  UNION ALL SELECT 'product' AS table, writer, pos, at FROM products
  UNION ALL SELECT 'output' AS table, writer, pos, at FROM outputs
)
WHERE at >= toDateTime({since:UInt32}, 'UTC')
  AND (empty({writers:Array(UInt32)}) OR (has({writers:Array(UInt32)}, writer)
    AND pos <= {positions:Array(UInt64)}[indexOf({writers:Array(UInt32)}, writer)]))
GROUP BY table
ORDER BY table
