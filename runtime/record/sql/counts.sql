-- counts: how many rows each table holds as written, up to a cursor.
-- default writers = []
-- default positions = []
SELECT table, count() AS rows FROM (
  SELECT 'event' AS table, writer, pos FROM event
  UNION ALL SELECT 'transition' AS table, writer, pos FROM transition
  UNION ALL SELECT 'attempt' AS table, writer, pos FROM attempt
  UNION ALL SELECT 'run' AS table, writer, pos FROM run
  UNION ALL SELECT 'proposal' AS table, writer, pos FROM proposal
  UNION ALL SELECT 'verdict' AS table, writer, pos FROM verdict
  UNION ALL SELECT 'outcome' AS table, writer, pos FROM outcome
)
WHERE empty({writers:Array(UInt32)}) OR (has({writers:Array(UInt32)}, writer)
    AND pos <= {positions:Array(UInt64)}[indexOf({writers:Array(UInt32)}, writer)])
GROUP BY table
ORDER BY table
