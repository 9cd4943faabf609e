-- trend_steps: p50 to p99, cost, failures, rows and items of steps over time, per configuration and hardware.
-- default bucket = 3600
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
-- Whole days and hours come from the sums; a finer grain comes from the attempts themselves.
-- A bucket that has begun before `since` is whole as far as its hour or day reaches.
SELECT
  toUnixTimestamp(toStartOfInterval(time, toIntervalSecond({bucket:UInt32}))) AS bucket,
  playbook, step, config, hardware, batch_size, in_flight,
  sum(t.attempts) AS attempts, sum(t.failed) AS failed, sum(t.retried) AS retried, sum(t.items) AS items,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.seconds) AS q, 1) AS p50_s, q[3] AS p95_s, q[4] AS p99_s,
  sum(t.run_s) AS run_s, if(sum(t.priced) > 0, sum(t.cost_usd), NULL) AS cost_usd, q[2] AS p90_s,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.queue) AS w, 1) AS queue_p50_s, w[3] AS queue_p95_s,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.running) AS r, 1) AS run_p50_s, r[3] AS run_p95_s,
  sum(t.rows_in) AS rows_in, sum(t.rows_out) AS rows_out, sum(t.priced) AS priced, sum(t.spend_usd) AS spend_usd
FROM (
  SELECT
    toDateTime(day, 'UTC') AS time, playbook, step, config, hardware, batch_size, in_flight, attempts, failed, retried,
    items, seconds, run_s, priced, cost_usd, queue, running, rows_in, rows_out, spend_usd
  FROM step_day
  WHERE {bucket:UInt32} % 86400 = 0
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND day >= toDate(toDateTime({since:UInt32}, 'UTC')) AND day <= toDate(toDateTime({until:UInt32}, 'UTC'))
    AND system <= {system:UInt8}
  UNION ALL
  SELECT
    hour AS time, playbook, step, config, hardware, batch_size, in_flight, attempts, failed, retried,
    items, seconds, run_s, priced, cost_usd, queue, running, rows_in, rows_out, spend_usd
  FROM step_hour
  WHERE {bucket:UInt32} % 3600 = 0 AND {bucket:UInt32} % 86400 != 0
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND hour >= toStartOfHour(toDateTime({since:UInt32}, 'UTC')) AND hour <= toDateTime({until:UInt32}, 'UTC')
    AND system <= {system:UInt8}
  UNION ALL
  SELECT
    toStartOfInterval(toDateTime(a.at), toIntervalSecond({bucket:UInt32})) AS time, playbook, step, config, hardware,
    batch_size, in_flight, count() AS attempts,
    countIf(a.outcome != 'succeeded' AND NOT (a.outcome = 'cancelled' AND a.retried = 1)
      AND NOT (a.outcome = 'lost' AND a.error_class = 'lost' AND a.worker = '')) AS failed,
    sum(a.retried) AS retried, sumIf(a.items, a.outcome = 'succeeded') AS items,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.total_s) AS seconds, sum(a.run_s) AS run_s,
    countIf(a.cost_usd IS NOT NULL) AS priced, sum(ifNull(a.cost_usd, 0)) AS cost_usd,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.queue_s) AS queue,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.run_s) AS running,
    sum(a.rows_in) AS rows_in, sum(a.rows_out) AS rows_out, sum(a.spend_usd) AS spend_usd
  FROM attempts AS a
  WHERE {bucket:UInt32} % 3600 != 0
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND a.at >= toDateTime({since:UInt32}, 'UTC') AND a.at <= toDateTime({until:UInt32}, 'UTC')
    AND system <= {system:UInt8}
  GROUP BY time, playbook, step, config, hardware, batch_size, in_flight
) AS t
GROUP BY bucket, playbook, step, config, hardware, batch_size, in_flight
ORDER BY bucket, playbook, step, config, hardware
