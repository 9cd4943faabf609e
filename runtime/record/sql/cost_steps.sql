-- cost_steps: what the attempts of a time cost by day, playbook, step, hardware and price, and how much of it has a known price.
-- default playbook = ""
-- default since = 0
-- default until = 4000000000
-- Whole days come from the sums; what is left of the first and the last day comes from the attempts.
WITH
  toDateTime({since:UInt32}, 'UTC') AS begin_at, toDateTime({until:UInt32}, 'UTC') AS end_at,
  toDate(begin_at + toIntervalSecond(86399), 'UTC') AS first_day, toDate(end_at, 'UTC') AS end_day
SELECT
  toUnixTimestamp(toDateTime(t.day, 'UTC')) AS day, playbook, step, hardware, t.price_usd_hour AS price_usd_hour,
  sum(t.slot_s) AS slot_s, sum(t.priced_slot_s) AS priced_slot_s, sum(t.attempts) AS attempts, sum(t.priced) AS priced,
  sum(t.cost_usd) AS cost_usd, sum(t.spend_usd) AS spend_usd, max(t.system) AS system,
  sum(t.tokens) AS tokens, sum(t.calls) AS calls
FROM (
  SELECT
    day, playbook, step, hardware, nullIf(d.price_usd_hour, -1) AS price_usd_hour, system, slot_s, priced_slot_s,
    attempts, priced, cost_usd, spend_usd, tokens, calls
  FROM cost_day AS d
  WHERE ({playbook:String} = '' OR playbook = {playbook:String}) AND d.day >= first_day AND d.day < end_day
  UNION ALL
  SELECT
    toDate(a.at, 'UTC') AS day, playbook, step, hardware, a.price_usd_hour AS price_usd_hour, max(a.system) AS system,
    sum(a.total_s - a.queue_s) AS slot_s, sumIf(a.total_s - a.queue_s, a.cost_usd IS NOT NULL) AS priced_slot_s,
    count() AS attempts, countIf(a.cost_usd IS NOT NULL) AS priced,
    sum(ifNull(a.cost_usd, a.spend_usd)) AS cost_usd, sum(a.spend_usd) AS spend_usd, sum(a.tokens) AS tokens,
    sum(a.calls) AS calls
  FROM attempts AS a
  WHERE ({playbook:String} = '' OR playbook = {playbook:String}) AND a.at >= begin_at AND a.at < end_at
    AND (a.at < toDateTime(first_day, 'UTC') OR a.at >= toDateTime(end_day, 'UTC'))
  GROUP BY day, playbook, step, hardware, price_usd_hour
) AS t
GROUP BY day, playbook, step, hardware, price_usd_hour
ORDER BY day, playbook, step, hardware, price_usd_hour
