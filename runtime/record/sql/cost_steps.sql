-- cost_steps: what the attempts of a time cost by day, playbook, step, hardware and price, and how much of it has a known price.
-- default playbook = ""
-- default since = 0
-- default until = 4000000000
SELECT
  toUnixTimestamp(toStartOfDay(toDateTime(t.at, 'UTC'))) AS day, playbook, step, hardware, price_usd_hour,
  sum(t.total_s - t.queue_s) AS slot_s, sumIf(t.total_s - t.queue_s, t.cost_usd IS NOT NULL) AS priced_slot_s,
  count() AS attempts, countIf(t.cost_usd IS NOT NULL) AS priced,
  sum(ifNull(t.cost_usd, t.spend_usd)) AS cost_usd, sum(t.spend_usd) AS spend_usd, max(t.system) AS system
FROM attempts AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String})
  AND t.at >= toDateTime({since:UInt32}) AND t.at < toDateTime({until:UInt32})
GROUP BY day, playbook, step, hardware, price_usd_hour
ORDER BY day, playbook, step, hardware, price_usd_hour
