-- What attempts add up to, by the hour and by the day: sums, and states of quantiles that merge
-- to any longer time. The days are made of the hours as these come in. Causes of failure and the
-- prices that were paid are kept the same way. What stood by the minute before is no longer needed:
-- where steps are not busy it was as long as the attempts themselves.
--
-- Each has a view `<name>_of_attempt` that makes it from the attempts: what a crash left wrong
-- is made again through it. None is written through to the disk: what is lost shows and is made again.

DROP VIEW IF EXISTS step_minute_feed;

DROP VIEW IF EXISTS step_minute_of_attempt;

DROP TABLE IF EXISTS step_minute SYNC;

DROP VIEW IF EXISTS step_hour_feed;

DROP VIEW IF EXISTS step_day_feed;

DROP VIEW IF EXISTS cause_hour_feed;

DROP VIEW IF EXISTS price_feed;

DROP VIEW IF EXISTS step_hour_of_attempt;

DROP VIEW IF EXISTS cause_hour_of_attempt;

DROP VIEW IF EXISTS price_of_attempt;

DROP TABLE IF EXISTS step_hour SYNC;

DROP TABLE IF EXISTS step_day SYNC;

DROP TABLE IF EXISTS cause_hour SYNC;

DROP TABLE IF EXISTS price SYNC;

CREATE TABLE IF NOT EXISTS step_hour (
  hour DateTime('UTC') COMMENT 'the hour in which they ended, its start; UTC' CODEC(Delta, ZSTD),
  playbook LowCardinality(String) COMMENT 'path of the playbook',
  step LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
  hardware LowCardinality(String) COMMENT 'hardware class that they ran on',
  config LowCardinality(String) COMMENT 'hash of the step''s configuration',
  arm LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
  experiment LowCardinality(String) COMMENT 'id of the experiment; empty: none',
  number_of_version UInt32 COMMENT 'number of the playbook''s version, from 1' CODEC(ZSTD),
  batch_size UInt32 COMMENT 'knob each.batch: items a batch; 0: not set' CODEC(ZSTD),
  in_flight UInt32 COMMENT 'knob each.in_flight: batches at once; 0: not set' CODEC(ZSTD),
  system UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD),
  attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD),
  failed SimpleAggregateFunction(sum, UInt64) COMMENT 'those that failed; beaten hedges are not counted' CODEC(ZSTD),
  retried SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD),
  items SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded' CODEC(ZSTD),
  rows_in SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they read' CODEC(ZSTD),
  rows_out SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they gave' CODEC(ZSTD),
  bytes_in SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they read' CODEC(ZSTD),
  bytes_out SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they gave' CODEC(ZSTD),
  cpu_s SimpleAggregateFunction(sum, Float64) COMMENT 'CPU seconds' CODEC(ZSTD),
  queue_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds from scheduled to handed to a worker' CODEC(ZSTD),
  run_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD),
  total_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds, queue and run together' CODEC(ZSTD),
  cost_usd SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD),
  spend_usd SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD),
  priced SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD),
  priced_items SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded and whose cost is known' CODEC(ZSTD),
  priced_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool of those whose cost is known' CODEC(ZSTD),
  rss_peak SimpleAggregateFunction(max, UInt64) COMMENT 'largest peak of resident memory, bytes' CODEC(ZSTD),
  first_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD),
  last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD),
  runs AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD),
  queue AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds from scheduled to handed to a worker' CODEC(ZSTD),
  running AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds in the tool' CODEC(ZSTD),
  seconds AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds, queue and run together' CODEC(ZSTD)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour)
ORDER BY (playbook, step, hour, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'what an hour of a step''s attempts added up to, by hardware, configuration and arm';

CREATE TABLE IF NOT EXISTS step_day (
  day Date COMMENT 'the day on which they ended; UTC' CODEC(Delta, ZSTD),
  playbook LowCardinality(String) COMMENT 'path of the playbook',
  step LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
  hardware LowCardinality(String) COMMENT 'hardware class that they ran on',
  config LowCardinality(String) COMMENT 'hash of the step''s configuration',
  arm LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
  experiment LowCardinality(String) COMMENT 'id of the experiment; empty: none',
  number_of_version UInt32 COMMENT 'number of the playbook''s version, from 1' CODEC(ZSTD),
  batch_size UInt32 COMMENT 'knob each.batch: items a batch; 0: not set' CODEC(ZSTD),
  in_flight UInt32 COMMENT 'knob each.in_flight: batches at once; 0: not set' CODEC(ZSTD),
  system UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD),
  attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD),
  failed SimpleAggregateFunction(sum, UInt64) COMMENT 'those that failed; beaten hedges are not counted' CODEC(ZSTD),
  retried SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD),
  items SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded' CODEC(ZSTD),
  rows_in SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they read' CODEC(ZSTD),
  rows_out SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they gave' CODEC(ZSTD),
  bytes_in SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they read' CODEC(ZSTD),
  bytes_out SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they gave' CODEC(ZSTD),
  cpu_s SimpleAggregateFunction(sum, Float64) COMMENT 'CPU seconds' CODEC(ZSTD),
  queue_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds from scheduled to handed to a worker' CODEC(ZSTD),
  run_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD),
  total_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds, queue and run together' CODEC(ZSTD),
  cost_usd SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD),
  spend_usd SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD),
  priced SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD),
  priced_items SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded and whose cost is known' CODEC(ZSTD),
  priced_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool of those whose cost is known' CODEC(ZSTD),
  rss_peak SimpleAggregateFunction(max, UInt64) COMMENT 'largest peak of resident memory, bytes' CODEC(ZSTD),
  first_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD),
  last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD),
  runs AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD),
  queue AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds from scheduled to handed to a worker' CODEC(ZSTD),
  running AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds in the tool' CODEC(ZSTD),
  seconds AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds, queue and run together' CODEC(ZSTD)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day)
ORDER BY (playbook, step, day, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'what a day of a step''s attempts added up to, by hardware, configuration and arm';

CREATE VIEW step_hour_of_attempt AS SELECT
  toStartOfHour(t.at, 'UTC') AS hour, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system,
  count() AS attempts,
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed,
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
  countIf(t.outcome != 'succeeded' AND NOT (t.outcome = 'cancelled' AND t.retried = 1)) AS failed,
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

CREATE MATERIALIZED VIEW step_day_feed TO step_day AS SELECT
  toDate(t.hour, 'UTC') AS day, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system,
  sum(t.attempts) AS attempts,
  sum(t.failed) AS failed,
  sum(t.retried) AS retried,
  sum(t.items) AS items,
  sum(t.rows_in) AS rows_in,
  sum(t.rows_out) AS rows_out,
  sum(t.bytes_in) AS bytes_in,
  sum(t.bytes_out) AS bytes_out,
  sum(t.cpu_s) AS cpu_s,
  sum(t.queue_s) AS queue_s,
  sum(t.run_s) AS run_s,
  sum(t.total_s) AS total_s,
  sum(t.cost_usd) AS cost_usd,
  sum(t.spend_usd) AS spend_usd,
  sum(t.priced) AS priced,
  sum(t.priced_items) AS priced_items,
  sum(t.priced_s) AS priced_s,
  max(t.rss_peak) AS rss_peak,
  min(t.first_at) AS first_at,
  max(t.last_at) AS last_at,
  uniqCombined64MergeState(14)(t.runs) AS runs,
  quantilesTDigestMergeState(0.5, 0.9, 0.95, 0.99)(t.queue) AS queue,
  quantilesTDigestMergeState(0.5, 0.9, 0.95, 0.99)(t.running) AS running,
  quantilesTDigestMergeState(0.5, 0.9, 0.95, 0.99)(t.seconds) AS seconds
FROM step_hour AS t
GROUP BY day, playbook, step, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system;

CREATE TABLE IF NOT EXISTS cause_hour (
  hour DateTime('UTC') COMMENT 'the hour in which they ended, its start; UTC' CODEC(Delta, ZSTD),
  playbook LowCardinality(String) COMMENT 'path of the playbook',
  step LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
  error_class LowCardinality(String) COMMENT 'class of the error',
  fingerprint String COMMENT 'cause: the same for errors that differ in ids and numbers alone' CODEC(ZSTD),
  hardware LowCardinality(String) COMMENT 'hardware class that they ran on',
  config LowCardinality(String) COMMENT 'hash of the step''s configuration',
  arm LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
  system UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD),
  failures SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended so' CODEC(ZSTD),
  retried SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD),
  run_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD),
  cost_usd SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD),
  runs AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD),
  first_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD),
  last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD),
  text SimpleAggregateFunction(any, String) COMMENT 'step, class, message and place of the error, ids and numbers masked' CODEC(ZSTD),
  last_message AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: what the last of them said' CODEC(ZSTD),
  last_run AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: the run of the last of them' CODEC(ZSTD),
  last_attempt AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: the name of the last of them' CODEC(ZSTD)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour)
ORDER BY (playbook, step, hour, error_class, fingerprint, hardware, config, arm, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'what an hour of attempts failed of: by cause, class, hardware, configuration and arm';

CREATE VIEW cause_hour_of_attempt AS SELECT
  toStartOfHour(t.at, 'UTC') AS hour, playbook, step, error_class, fingerprint, hardware, config, arm, system,
  count() AS failures,
  sum(t.retried) AS retried,
  sum(t.run_s) AS run_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  uniqCombined64State(14)(t.run) AS runs,
  min(t.at) AS first_at,
  max(t.at) AS last_at,
  any(t.text) AS text,
  argMaxState(t.error_message, t.at) AS last_message,
  argMaxState(t.run, t.at) AS last_run,
  argMaxState(t.attempt, t.at) AS last_attempt
FROM attempt AS t WHERE fingerprint != ''
GROUP BY hour, playbook, step, error_class, fingerprint, hardware, config, arm, system;

CREATE MATERIALIZED VIEW cause_hour_feed TO cause_hour AS SELECT
  toStartOfHour(t.at, 'UTC') AS hour, playbook, step, error_class, fingerprint, hardware, config, arm, system,
  count() AS failures,
  sum(t.retried) AS retried,
  sum(t.run_s) AS run_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  uniqCombined64State(14)(t.run) AS runs,
  min(t.at) AS first_at,
  max(t.at) AS last_at,
  any(t.text) AS text,
  argMaxState(t.error_message, t.at) AS last_message,
  argMaxState(t.run, t.at) AS last_run,
  argMaxState(t.attempt, t.at) AS last_attempt
FROM attempt AS t WHERE fingerprint != ''
GROUP BY hour, playbook, step, error_class, fingerprint, hardware, config, arm, system;

CREATE TABLE IF NOT EXISTS price (
  day Date COMMENT 'the day on which they ended; UTC' CODEC(Delta, ZSTD),
  hardware LowCardinality(String) COMMENT 'hardware class',
  usd_hour Float64 COMMENT 'price of a slot, USD an hour' CODEC(ZSTD),
  attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended at that price' CODEC(ZSTD),
  run_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD),
  cost_usd SimpleAggregateFunction(sum, Float64) COMMENT 'what they cost, USD' CODEC(ZSTD),
  first_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD),
  last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day)
ORDER BY (hardware, day, usd_hour)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'the prices that attempts were reckoned with, by hardware class and day';

CREATE VIEW price_of_attempt AS SELECT
  toDate(t.at, 'UTC') AS day, hardware, assumeNotNull(t.price_usd_hour) AS usd_hour,
  count() AS attempts,
  sum(t.run_s) AS run_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  min(t.at) AS first_at,
  max(t.at) AS last_at
FROM attempt AS t WHERE price_usd_hour IS NOT NULL
GROUP BY day, hardware, usd_hour;

CREATE MATERIALIZED VIEW price_feed TO price AS SELECT
  toDate(t.at, 'UTC') AS day, hardware, assumeNotNull(t.price_usd_hour) AS usd_hour,
  count() AS attempts,
  sum(t.run_s) AS run_s,
  sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  min(t.at) AS first_at,
  max(t.at) AS last_at
FROM attempt AS t WHERE price_usd_hour IS NOT NULL
GROUP BY day, hardware, usd_hour;

CREATE VIEW IF NOT EXISTS prices AS SELECT
  hardware, usd_hour, min(t.first_at) AS first_at, max(t.last_at) AS last_at, sum(t.attempts) AS attempts,
  sum(t.run_s) AS run_s, sum(t.cost_usd) AS cost_usd
FROM price AS t GROUP BY hardware, usd_hour;

INSERT INTO step_hour SELECT * FROM step_hour_of_attempt;

INSERT INTO cause_hour SELECT * FROM cause_hour_of_attempt;

INSERT INTO price SELECT * FROM price_of_attempt
