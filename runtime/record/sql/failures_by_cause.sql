-- failures_by_cause: failed attempts grouped by cause: how many, where, since when, and an example.
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default system = 0
-- default limit = 100
SELECT
  playbook, step, error_class, fingerprint, any(t.text) AS text, argMax(error_message, t.at) AS last_message,
  count() AS failures, uniqExact(run) AS runs, sum(t.retried) AS retried, sum(t.run_s) AS run_s,
  toUnixTimestamp64Micro(min(t.at)) / 1e6 AS first_at, toUnixTimestamp64Micro(max(t.at)) / 1e6 AS last_at,
  argMax(run, t.at) AS last_run, argMax(attempt, t.at) AS last_attempt
FROM attempts AS t
WHERE fingerprint != '' AND system <= {system:UInt8}
  AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
GROUP BY playbook, step, error_class, fingerprint
ORDER BY failures DESC, last_at DESC
LIMIT {limit:UInt32}
