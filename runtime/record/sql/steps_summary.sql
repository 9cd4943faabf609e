-- steps_summary: each step since a time: attempts, failures, seconds, cost, and its share of the playbook's time.
-- default since = 0
-- default playbook = ""
SELECT
  playbook, step, count() AS attempts, countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed, sum(t.retried) AS retried,
  sumIf(t.items, t.outcome = 'succeeded') AS items, uniqExact(run) AS runs, uniqExact(config) AS configs,
  arrayElement(quantiles(0.5, 0.95, 0.99)(t.total_s) AS q, 1) AS p50_s, q[2] AS p95_s, q[3] AS p99_s,
  sum(t.run_s) AS run_s, sum(t.queue_s) AS queue_s, sum(t.cost_usd) AS cost_usd,
  sum(t.run_s) / sum(sum(t.run_s)) OVER (PARTITION BY playbook) AS share_of_time,
  toUnixTimestamp64Micro(max(t.at)) / 1e6 AS last_at
FROM attempts AS t
WHERE system = 0 AND ({playbook:String} = '' OR playbook = {playbook:String})
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
GROUP BY playbook, step
ORDER BY playbook, run_s DESC
