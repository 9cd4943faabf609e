-- failures_by_cause: failed attempts grouped by cause: how many, where, since when, and an example.
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default system = 0
-- default limit = 100
-- The hour of `since` counts whole.
SELECT
  playbook, step, error_class, fingerprint, any(t.text) AS text, argMaxMerge(t.last_message) AS last_message,
  sum(t.failures) AS failures, uniqCombined64Merge(14)(t.runs) AS runs, sum(t.retried) AS retried,
  sum(t.run_s) AS run_s, toUnixTimestamp64Micro(min(t.first_at)) / 1e6 AS first_at,
  toUnixTimestamp64Micro(max(t.last_at)) / 1e6 AS last_at, argMaxMerge(t.last_run) AS last_run,
  argMaxMerge(t.last_attempt) AS last_attempt
FROM cause_hour AS t
WHERE system <= {system:UInt8}
  AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
  AND hour >= toStartOfHour(toDateTime({since:Float64}, 'UTC'))
GROUP BY playbook, step, error_class, fingerprint
ORDER BY failures DESC, last_at DESC
LIMIT {limit:UInt32}
