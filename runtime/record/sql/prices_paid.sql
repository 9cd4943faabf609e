-- prices_paid: the prices that attempts were reckoned with, by hardware class: from when to when, and what they came to.
SELECT
  hardware, usd_hour, toUnixTimestamp64Micro(first_at) / 1e6 AS first_at, toUnixTimestamp64Micro(last_at) / 1e6 AS last_at,
  attempts, run_s, cost_usd
FROM prices
ORDER BY hardware, first_at
