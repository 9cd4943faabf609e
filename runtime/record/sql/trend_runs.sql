-- trend_runs: runs per time bucket: how many, how they ended, wall seconds and cost.
-- default bucket = 3600
-- default playbook = ""
-- default since = 0
-- default until = 4000000000
SELECT
  toUnixTimestamp(toStartOfInterval(toDateTime(t.at), toIntervalSecond({bucket:UInt32}))) AS bucket, playbook,
  count() AS runs, countIf(state = 'failed') AS failed, sum(t.items) AS items,
  arrayElement(quantiles(0.5, 0.95, 0.99)(t.wall_s) AS q, 1) AS p50_s, q[2] AS p95_s, q[3] AS p99_s,
  sum(t.cost_usd) AS cost_usd
FROM runs AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String}) AND system = 0
  AND t.at >= toDateTime({since:UInt32}) AND t.at <= toDateTime({until:UInt32})
GROUP BY bucket, playbook
ORDER BY bucket, playbook
