-- evidence_extent: how far back a step's newest attempts reach, whole runs, where there are more than can be read at once.
-- default most = 1000000
SELECT
  if(count() > 0, min(first_at), 0) AS since, sum(n) AS attempts, count() AS runs,
  any(known) AS known_attempts, any(known_runs) AS known_runs
FROM (
  SELECT
    first_at, n, sum(n) OVER () AS known, count() OVER () AS known_runs,
    sum(n) OVER (ORDER BY last_at DESC, run ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS newer
  FROM (
    SELECT
      run, count() AS n, toUnixTimestamp64Micro(min(t.at)) / 1e6 AS first_at,
      toUnixTimestamp64Micro(max(t.at)) / 1e6 AS last_at
    FROM attempts AS t
    WHERE playbook = {playbook:String} AND step = {step:String} AND system = 0
    GROUP BY run
  )
)
WHERE newer <= {most:UInt64}
