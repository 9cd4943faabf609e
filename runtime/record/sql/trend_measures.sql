-- trend_measures: queue, run and total seconds, cost, failures, retries and throughput over time, by one dimension: playbook, step, hardware, configuration, arm, version, or a run's label.
-- default by = "step"
-- default label = ""
-- default bucket = 3600
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
-- Whole days and hours come from the sums; a finer grain, a run's label and what is left of the
-- first and the last hour come from the attempts.
WITH
  toDateTime({since:UInt32}, 'UTC') AS begin_at, toDateTime({until:UInt32}, 'UTC') AS end_at,
  {by:String} IN ('playbook', 'step', 'hardware', 'configuration', 'arm', 'version') AND {bucket:UInt32} % 3600 = 0 AS is_summed,
  is_summed AND {bucket:UInt32} % 86400 = 0 AS is_daily,
  toStartOfHour(begin_at + toIntervalSecond(3599), 'UTC') AS first_hour, toStartOfHour(end_at, 'UTC') AS end_hour,
  toDate(first_hour + toIntervalSecond(86399), 'UTC') AS first_day, toDate(end_hour, 'UTC') AS end_day
SELECT
  toUnixTimestamp(toStartOfInterval(t.time, toIntervalSecond({bucket:UInt32}))) AS bucket,
  multiIf(
    {by:String} = 'playbook', toString(t.playbook), {by:String} = 'step', concat(t.playbook, ' › ', t.step),
    {by:String} = 'hardware', toString(t.hardware),
    {by:String} = 'configuration', concat(t.playbook, ' › ', t.step, ' › ', t.config),
    {by:String} = 'arm', if(t.experiment = '', '', concat(t.experiment, ' › ', t.arm)),
    {by:String} = 'version', concat(t.playbook, ' › ', toString(t.number_of_version)), t.label) AS line,
  sum(t.attempts) AS attempts, sum(t.failed) AS failed, sum(t.retried) AS retried, sum(t.items) AS items,
  items / {bucket:UInt32} AS items_per_s, attempts / {bucket:UInt32} AS attempts_per_s,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.queue) AS q, 1) AS queue_p50_s, q[2] AS queue_p90_s,
  q[3] AS queue_p95_s, q[4] AS queue_p99_s,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.running) AS r, 1) AS run_p50_s, r[2] AS run_p90_s,
  r[3] AS run_p95_s, r[4] AS run_p99_s,
  arrayElement(quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(t.seconds) AS w, 1) AS total_p50_s, w[2] AS total_p90_s,
  w[3] AS total_p95_s, w[4] AS total_p99_s,
  sum(t.priced) AS priced, if(priced > 0, sum(t.cost_usd), NULL) AS cost_usd,
  if(items > 0 AND priced > 0, cost_usd / items, NULL) AS cost_per_item_usd, sum(t.spend_usd) AS spend_usd
FROM (
  SELECT
    toDateTime(d.day, 'UTC') AS time, playbook, step, hardware, config, experiment, arm, number_of_version, '' AS label,
    attempts, failed, retried, items, queue, running, seconds, priced, cost_usd, spend_usd
  FROM step_day AS d
  WHERE is_daily AND d.day >= first_day AND d.day < end_day
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND system <= {system:UInt8}
  UNION ALL
  SELECT
    h.hour AS time, playbook, step, hardware, config, experiment, arm, number_of_version, '' AS label,
    attempts, failed, retried, items, queue, running, seconds, priced, cost_usd, spend_usd
  FROM step_hour AS h
  WHERE is_summed AND h.hour >= first_hour AND h.hour < end_hour
    AND NOT (is_daily AND toDate(h.hour, 'UTC') >= first_day AND toDate(h.hour, 'UTC') < end_day)
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND system <= {system:UInt8}
  UNION ALL
  SELECT
    toStartOfInterval(toDateTime(a.at, 'UTC'), toIntervalSecond({bucket:UInt32})) AS time, playbook, step, hardware, config,
    experiment, arm, number_of_version, l.value AS label, count() AS attempts,
    countIf(a.outcome != 'succeeded' AND NOT (a.outcome = 'cancelled' AND a.retried = 1)
      AND NOT (a.outcome = 'lost' AND a.error_class = 'lost' AND a.worker = '')) AS failed,
    sum(a.retried) AS retried, sumIf(a.items, a.outcome = 'succeeded') AS items,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.queue_s) AS queue,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.run_s) AS running,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(a.total_s) AS seconds,
    countIf(a.cost_usd IS NOT NULL) AS priced, sum(ifNull(a.cost_usd, 0)) AS cost_usd, sum(a.spend_usd) AS spend_usd
  FROM attempts AS a
  LEFT ANY JOIN (
    SELECT stream, JSONExtractString(body, 'labels', {label:String}) AS value
    FROM event WHERE type = 'run.submitted' AND {label:String} != ''
  ) AS l ON l.stream = a.stream
  WHERE a.at >= begin_at AND a.at <= end_at AND (NOT is_summed OR a.at < first_hour OR a.at >= end_hour)
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
    AND system <= {system:UInt8}
  GROUP BY time, playbook, step, hardware, config, experiment, arm, number_of_version, label
) AS t
GROUP BY bucket, line
ORDER BY bucket, line
