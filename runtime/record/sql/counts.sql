-- counts: how many rows each table holds, as written.
SELECT * FROM (
SELECT 'event' AS table, count() AS rows FROM event
UNION ALL SELECT 'transition', count() FROM transition
UNION ALL SELECT 'attempt', count() FROM attempt
UNION ALL SELECT 'run', count() FROM run
UNION ALL SELECT 'proposal', count() FROM proposal
UNION ALL SELECT 'verdict', count() FROM verdict
UNION ALL SELECT 'outcome', count() FROM outcome
) ORDER BY table
