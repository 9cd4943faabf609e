-- step_configs: what a step did under each configuration it ran with: batch, in_flight, seconds and cost per item, failures.
-- default since = 0
-- The hour of `since` counts whole.
SELECT
  config, batch_size, in_flight, hardware, arm, experiment, sum(t.attempts) AS attempts,
  uniqCombined64Merge(14)(t.runs) AS runs, sum(t.failed) AS failed, sum(t.retried) AS retried, sum(t.items) AS items,
  sum(t.run_s) / attempts AS mean_run_s, if(items > 0, sum(t.run_s) / items, NULL) AS run_s_per_item,
  sum(t.priced_items) AS priced_items, if(priced_items > 0, sum(t.cost_usd) / priced_items, NULL) AS cost_per_item,
  toUnixTimestamp64Micro(min(t.first_at)) / 1e6 AS first_at, toUnixTimestamp64Micro(max(t.last_at)) / 1e6 AS last_at
FROM step_hour AS t
WHERE playbook = {playbook:String} AND step = {step:String} AND system = 0
  AND hour >= toStartOfHour(toDateTime({since:Float64}, 'UTC'))
GROUP BY config, batch_size, in_flight, hardware, arm, experiment
ORDER BY first_at
