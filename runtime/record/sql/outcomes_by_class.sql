-- outcomes_by_class: the ledger: predicted against realised effects, by knob class.
SELECT
  proposal, knob_class, objective, lower, median, upper, realised, realised_lower, realised_upper, covered,
  toUnixTimestamp64Micro(at) / 1e6 AS at
FROM outcomes
ORDER BY knob_class, at
