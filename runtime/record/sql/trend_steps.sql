-- trend_steps: p50, p95, p99, cost, failures and items of steps over time, per configuration and hardware.
-- default bucket = 3600
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
SELECT
  toUnixTimestamp(toStartOfInterval(minute, toIntervalSecond({bucket:UInt32}))) AS bucket,
  playbook, step, config, hardware, batch_size, in_flight,
  sum(t.attempts) AS attempts, sum(t.failed) AS failed, sum(t.retried) AS retried, sum(t.items) AS items,
  arrayElement(quantilesTDigestMerge(0.5, 0.95, 0.99)(t.seconds) AS q, 1) AS p50_s, q[2] AS p95_s, q[3] AS p99_s,
  sum(t.run_s) AS run_s, if(sum(t.priced) > 0, sum(t.cost_usd), NULL) AS cost_usd
FROM step_minute AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String})
  AND ({step:String} = '' OR step = {step:String})
  AND minute >= toDateTime({since:UInt32}) AND minute <= toDateTime({until:UInt32})
  AND system <= {system:UInt8}
GROUP BY bucket, playbook, step, config, hardware, batch_size, in_flight
ORDER BY bucket, playbook, step, config, hardware
