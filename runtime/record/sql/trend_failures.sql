-- trend_failures: failures over time by class of error, with what was retried and what it cost.
-- default bucket = 3600
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
-- A bucket is at least an hour long.
SELECT
  toUnixTimestamp(toStartOfInterval(hour, toIntervalSecond(greatest(3600, {bucket:UInt32})))) AS bucket,
  playbook, step, error_class, hardware, config, arm, sum(t.failures) AS failures, sum(t.retried) AS retried,
  uniqCombined64Merge(14)(t.runs) AS runs, sum(t.run_s) AS run_s, sum(t.cost_usd) AS cost_usd
FROM cause_hour AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
  AND hour >= toStartOfHour(toDateTime({since:UInt32}, 'UTC')) AND hour <= toDateTime({until:UInt32}, 'UTC')
  AND system <= {system:UInt8}
GROUP BY bucket, playbook, step, error_class, hardware, config, arm
ORDER BY bucket, playbook, step, failures DESC
