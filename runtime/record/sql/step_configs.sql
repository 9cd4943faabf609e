-- step_configs: what a step did under each configuration it ran with: batch, in_flight, seconds and cost per item, failures.
-- default since = 0
SELECT
  config, batch_size, in_flight, hardware, arm, experiment, count() AS attempts, uniqExact(run) AS runs,
  countIf(t.outcome != 'succeeded') AS failed, sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  avg(t.run_s) AS mean_run_s, if(items > 0, sum(t.run_s) / items, NULL) AS run_s_per_item,
  sumIf(t.items, t.outcome = 'succeeded' AND t.cost_usd IS NOT NULL) AS priced_items,
  if(priced_items > 0, sum(t.cost_usd) / priced_items, NULL) AS cost_per_item,
  toUnixTimestamp64Micro(min(t.at)) / 1e6 AS first_at, toUnixTimestamp64Micro(max(t.at)) / 1e6 AS last_at
FROM attempts AS t
WHERE playbook = {playbook:String} AND step = {step:String} AND system = 0
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
GROUP BY config, batch_size, in_flight, hardware, arm, experiment
ORDER BY first_at
