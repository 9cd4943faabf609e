-- cost_run: what the attempts of a run cost by day and hardware, and how much of it has a known price.
SELECT
  toUnixTimestamp(toStartOfDay(toDateTime(a.at, 'UTC'))) AS day, hardware,
  sum(a.total_s - a.queue_s) AS slot_s, sumIf(a.total_s - a.queue_s, a.cost_usd IS NOT NULL) AS priced_slot_s,
  count() AS attempts, sum(ifNull(a.cost_usd, a.spend_usd)) AS cost_usd, sum(a.spend_usd) AS spend_usd,
  sum(a.tokens) AS tokens, sum(a.calls) AS calls
FROM attempts AS a
WHERE run = {run:String}
GROUP BY day, hardware
ORDER BY day, hardware
