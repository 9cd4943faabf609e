-- An attempt that went down with the server, and with no worker of its own, has not failed: it may
-- never have begun. Hours that are there stay as they were summed.

DROP VIEW IF EXISTS step_hour_feed;

DROP VIEW IF EXISTS step_hour_of_attempt;

CREATE VIEW step_hour_of_attempt AS SELECT
  toStartOfHour(t.at, 'UTC') AS hour, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system,
  count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)
    AND NOT (t.outcome = 'lost' AND t.error_class = 'lost' AND t.worker = '')) AS failed,
  sum(t.retried) AS retried,
  sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.rows_in) AS rows_in,
  sum(t.rows_out) AS rows_out,
  sum(t.bytes_in) AS bytes_in,
  sum(t.bytes_out) AS bytes_out,
  sum(t.cpu_s) AS cpu_s,
  sum(t.queue_s) AS queue_s,
  sum(t.run_s) AS run_s,
  sum(t.total_s) AS total_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  sum(t.spend_usd) AS spend_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  sumIf(t.items, t.outcome = 'succeeded' AND t.cost_usd IS NOT NULL) AS priced_items,
  sumIf(t.run_s, t.cost_usd IS NOT NULL) AS priced_s,
  max(t.rss_peak) AS rss_peak,
  min(t.at) AS first_at,
  max(t.at) AS last_at,
  uniqCombined64State(14)(t.run) AS runs,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.queue_s) AS queue,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.run_s) AS running,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY hour, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system;

CREATE MATERIALIZED VIEW step_hour_feed TO step_hour AS SELECT
  toStartOfHour(t.at, 'UTC') AS hour, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system,
  count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)
    AND NOT (t.outcome = 'lost' AND t.error_class = 'lost' AND t.worker = '')) AS failed,
  sum(t.retried) AS retried,
  sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.rows_in) AS rows_in,
  sum(t.rows_out) AS rows_out,
  sum(t.bytes_in) AS bytes_in,
  sum(t.bytes_out) AS bytes_out,
  sum(t.cpu_s) AS cpu_s,
  sum(t.queue_s) AS queue_s,
  sum(t.run_s) AS run_s,
  sum(t.total_s) AS total_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  sum(t.spend_usd) AS spend_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  sumIf(t.items, t.outcome = 'succeeded' AND t.cost_usd IS NOT NULL) AS priced_items,
  sumIf(t.run_s, t.cost_usd IS NOT NULL) AS priced_s,
  max(t.rss_peak) AS rss_peak,
  min(t.at) AS first_at,
  max(t.at) AS last_at,
  uniqCombined64State(14)(t.run) AS runs,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.queue_s) AS queue,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.run_s) AS running,
  quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY hour, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system
