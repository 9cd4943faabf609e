-- A try that was ended because another of the same work was first has not failed: it is
-- cancelled, and another decided its work. Minutes that are there stay as they were summed.

DROP VIEW IF EXISTS step_minute_feed;

DROP VIEW IF EXISTS step_minute_of_attempt;

CREATE VIEW step_minute_of_attempt AS SELECT
  toStartOfMinute(toDateTime(t.at)) AS minute, playbook, step, hardware, config, batch_size,
  in_flight, system, count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed,
  sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.run_s) AS run_s, sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t GROUP BY minute, playbook, step, hardware, config, batch_size, in_flight, system;

CREATE MATERIALIZED VIEW step_minute_feed TO step_minute AS SELECT
  toStartOfMinute(toDateTime(t.at)) AS minute, playbook, step, hardware, config, batch_size,
  in_flight, system, count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed,
  sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.run_s) AS run_s, sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t GROUP BY minute, playbook, step, hardware, config, batch_size, in_flight, system
