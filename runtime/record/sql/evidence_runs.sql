-- evidence_runs: a playbook's ended runs as evidence: sizes, times, cost; no texts, no system runs.
-- default since = 0
-- default until = 4000000000
-- default limit = 100000
SELECT
  toUnixTimestamp64Micro(submitted_at) / 1e6 AS submitted_at, toUnixTimestamp64Micro(started_at) / 1e6 AS started_at,
  toUnixTimestamp64Micro(ended_at) / 1e6 AS ended_at, writer, pos, run, version, number_of_version, state, wall_s,
  attempts, failed_attempts, items, cost_usd, overridden, experiments, error_step, error_class
FROM runs
WHERE playbook = {playbook:String} AND system = 0
  AND at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
  AND at <= fromUnixTimestamp64Micro(toInt64({until:Float64} * 1e6))
ORDER BY writer, pos
LIMIT {limit:UInt64}
