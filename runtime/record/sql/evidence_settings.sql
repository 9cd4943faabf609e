-- evidence_settings: what each step took an item on each class of hardware in each four hours of the day (UTC), as means of logs and counts (runs: over all hours), for what steps learn from each other.
-- default since = 0
SELECT
  * EXCEPT (seen), uniqExactMerge(seen) OVER (PARTITION BY playbook, step, setting) AS runs
FROM (
SELECT
  playbook, step, hardware AS setting, intDiv(toHour(t.at, 'UTC'), 4) AS daypart, count() AS attempts, uniqExactState(run) AS seen,
  countIf(outcome NOT IN ('succeeded', 'cancelled')) AS failed,
  avgIf(log(run_s / greatest(items, 1)), outcome = 'succeeded' AND run_s > 0) AS log_s,
  avgIf(log(cost_usd / greatest(items, 1)), outcome = 'succeeded' AND cost_usd > 0) AS log_usd,
  countIf(outcome = 'succeeded' AND cost_usd > 0) AS priced,
  countIf(outcome = 'succeeded') AS succeeded,
  avgIf(log(rows_in), outcome = 'succeeded' AND rows_in > 0) AS log_rows,
  avgIf(log(rss_peak), outcome = 'succeeded' AND rss_peak > 0) AS log_memory,
  avgIf(log(cpu_s / run_s), outcome = 'succeeded' AND cpu_s > 0 AND run_s > 0) AS log_cpu,
  avgIf(log(bytes_in / run_s), outcome = 'succeeded' AND bytes_in > 0 AND run_s > 0) AS log_read,
  avgIf(log(bytes_out / run_s), outcome = 'succeeded' AND bytes_out > 0 AND run_s > 0) AS log_written
FROM attempts AS t
WHERE t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
  AND system = 0 AND overridden = 0 AND post_decision = 0 AND hardware != ''
  AND NOT (t.outcome = 'lost' AND t.error_class = 'lost' AND t.worker = '')
GROUP BY playbook, step, setting, daypart
HAVING succeeded > 0
)
ORDER BY playbook, step, setting, daypart
