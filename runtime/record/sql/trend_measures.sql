-- trend_measures: queue, run and total seconds, cost, failures, retries and throughput over time, by one dimension: playbook, step, hardware, configuration, arm, version, or a run's label.
-- default by = "step"
-- default label = ""
-- default bucket = 3600
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
SELECT
  toUnixTimestamp(toStartOfInterval(toDateTime(t.at), toIntervalSecond({bucket:UInt32}))) AS bucket,
  multiIf(
    {by:String} = 'playbook', toString(t.playbook), {by:String} = 'step', concat(t.playbook, ' › ', t.step),
    {by:String} = 'hardware', toString(t.hardware),
    {by:String} = 'configuration', concat(t.playbook, ' › ', t.step, ' › ', t.config),
    {by:String} = 'arm', if(t.experiment = '', '', concat(t.experiment, ' › ', t.arm)),
    {by:String} = 'version', concat(t.playbook, ' › ', toString(t.number_of_version)), l.value) AS line,
  count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed,
  sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  items / {bucket:UInt32} AS items_per_s, attempts / {bucket:UInt32} AS attempts_per_s,
  arrayElement(quantilesTDigest(0.5, 0.9, 0.95, 0.99)(t.queue_s) AS q, 1) AS queue_p50_s, q[2] AS queue_p90_s,
  q[3] AS queue_p95_s, q[4] AS queue_p99_s,
  arrayElement(quantilesTDigest(0.5, 0.9, 0.95, 0.99)(t.run_s) AS r, 1) AS run_p50_s, r[2] AS run_p90_s,
  r[3] AS run_p95_s, r[4] AS run_p99_s,
  arrayElement(quantilesTDigest(0.5, 0.9, 0.95, 0.99)(t.total_s) AS w, 1) AS total_p50_s, w[2] AS total_p90_s,
  w[3] AS total_p95_s, w[4] AS total_p99_s,
  countIf(t.cost_usd IS NOT NULL) AS priced, if(priced > 0, sum(t.cost_usd), NULL) AS cost_usd,
  if(items > 0 AND priced > 0, cost_usd / items, NULL) AS cost_per_item_usd, sum(t.spend_usd) AS spend_usd
FROM attempts AS t
LEFT ANY JOIN (
  SELECT stream, JSONExtractString(body, 'labels', {label:String}) AS value
  FROM event WHERE type = 'run.submitted' AND {label:String} != ''
) AS l ON l.stream = t.stream
WHERE ({playbook:String} = '' OR t.playbook = {playbook:String}) AND ({step:String} = '' OR t.step = {step:String})
  AND t.at >= toDateTime({since:UInt32}) AND t.at <= toDateTime({until:UInt32}) AND t.system <= {system:UInt8}
GROUP BY bucket, line
ORDER BY bucket, line
