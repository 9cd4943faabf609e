-- steps_summary: each step since a time: attempts, failures, seconds, cost, and its share of the playbook's time.
-- default since = 0
-- default playbook = ""
-- The hour of `since` counts whole.
SELECT
  playbook, step, sum(t.attempts) AS attempts, sum(t.failed) AS failed, sum(t.retried) AS retried,
  sum(t.items) AS items, uniqCombined64Merge(14)(t.runs) AS runs, uniqExact(config) AS configs,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.seconds) AS q, 1) AS p50_s, q[3] AS p95_s, q[4] AS p99_s,
  sum(t.run_s) AS run_s, sum(t.queue_s) AS queue_s, if(sum(t.priced) > 0, sum(t.cost_usd), NULL) AS cost_usd,
  sum(t.run_s) / sum(sum(t.run_s)) OVER (PARTITION BY playbook) AS share_of_time,
  toUnixTimestamp64Micro(max(t.last_at)) / 1e6 AS last_at
FROM step_hour AS t
WHERE system = 0 AND ({playbook:String} = '' OR playbook = {playbook:String})
  AND hour >= toStartOfHour(toDateTime({since:Float64}, 'UTC'))
GROUP BY playbook, step
ORDER BY playbook, run_s DESC
