-- The record's tables. Names in the singular are written, views in the plural are read:
-- a view holds each row once even where a table should hold it twice, because the sorting
-- key of each table ends with the place of its event.

CREATE TABLE IF NOT EXISTS event (
  writer UInt32, pos UInt64 CODEC(Delta, ZSTD), stream String CODEC(ZSTD), stream_seq UInt64,
  at DateTime64(6, 'UTC') CODEC(Delta, ZSTD), type LowCardinality(String), version UInt16,
  body String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS transition (
  writer UInt32, pos UInt64 CODEC(Delta, ZSTD), stream String CODEC(ZSTD), stream_seq UInt64,
  at DateTime64(6, 'UTC') CODEC(Delta, ZSTD), ordinal UInt16, run String CODEC(ZSTD),
  playbook LowCardinality(String), step LowCardinality(String), batch Int64, number UInt16,
  attempt String CODEC(ZSTD), transition LowCardinality(String), detail String CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq, ordinal)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS attempt (
  writer UInt32, pos UInt64 CODEC(Delta, ZSTD), stream String CODEC(ZSTD), stream_seq UInt64,
  at DateTime64(6, 'UTC') CODEC(Delta, ZSTD), scheduled_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
  run String CODEC(ZSTD), playbook LowCardinality(String), version LowCardinality(String),
  number_of_version UInt32, step LowCardinality(String), batch Int64, block Int64, start UInt64,
  attempt String CODEC(ZSTD), number UInt16, outcome LowCardinality(String),
  error_class LowCardinality(String), error_message String CODEC(ZSTD), fingerprint String CODEC(ZSTD),
  retried UInt8, queue_s Float64, run_s Float64, total_s Float64, items UInt64, rows_in UInt64,
  rows_out UInt64, bytes_in UInt64, bytes_out UInt64, cpu_s Float64, rss_peak UInt64,
  worker LowCardinality(String), hardware LowCardinality(String), environment LowCardinality(String),
  price_usd_hour Nullable(Float64), cost_usd Nullable(Float64), spend_usd Float64,
  config LowCardinality(String), batch_size UInt32, in_flight UInt32, retry_limit UInt16,
  timeout_s Nullable(Float64), runs_on LowCardinality(String), experiment LowCardinality(String),
  arm LowCardinality(String), share Nullable(Float64), system UInt8, overridden UInt8,
  post_decision UInt8, text String CODEC(ZSTD),
  INDEX by_run run TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (playbook, step, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS run (
  writer UInt32, pos UInt64, stream String CODEC(ZSTD), stream_seq UInt64, at DateTime64(6, 'UTC'),
  run String CODEC(ZSTD), playbook LowCardinality(String), version LowCardinality(String),
  number_of_version UInt32, state LowCardinality(String), submitted_at DateTime64(6, 'UTC'),
  started_at DateTime64(6, 'UTC'), ended_at DateTime64(6, 'UTC'), wall_s Float64, attempts UInt64,
  failed_attempts UInt64, items UInt64, cost_usd Nullable(Float64), actor LowCardinality(String),
  system UInt8, overridden UInt8, experiments Array(String), error_step LowCardinality(String),
  error_class LowCardinality(String), error_message String CODEC(ZSTD), fingerprint String CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (playbook, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS proposal (
  writer UInt32, pos UInt64, stream String, stream_seq UInt64, at DateTime64(6, 'UTC'),
  proposal String, kind LowCardinality(String), playbook LowCardinality(String),
  step LowCardinality(String), knob_class LowCardinality(String), objective LowCardinality(String),
  author LowCardinality(String), diff String CODEC(ZSTD), predicted String CODEC(ZSTD),
  evidence String, move LowCardinality(String), source LowCardinality(String),
  target LowCardinality(String), actor LowCardinality(String), reason LowCardinality(String),
  note String CODEC(ZSTD), bound_hash String, policy_hash String, stage UInt16
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS verdict (
  writer UInt32, pos UInt64, stream String, stream_seq UInt64, at DateTime64(6, 'UTC'),
  proposal String, experiment String, verdict LowCardinality(String), reason LowCardinality(String),
  units String CODEC(ZSTD), statistics String CODEC(ZSTD), final UInt8
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS outcome (
  writer UInt32, pos UInt64, stream String, stream_seq UInt64, at DateTime64(6, 'UTC'),
  proposal String, knob_class LowCardinality(String), objective LowCardinality(String),
  lower Nullable(Float64), median Nullable(Float64), upper Nullable(Float64),
  realised Nullable(Float64), realised_lower Nullable(Float64), realised_upper Nullable(Float64),
  covered LowCardinality(String)
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS events AS SELECT * FROM event FINAL;

CREATE VIEW IF NOT EXISTS transitions AS SELECT * FROM transition FINAL;

CREATE VIEW IF NOT EXISTS attempts AS SELECT * FROM attempt FINAL;

CREATE VIEW IF NOT EXISTS runs AS SELECT * FROM run FINAL;

CREATE VIEW IF NOT EXISTS proposals AS SELECT * FROM proposal FINAL;

CREATE VIEW IF NOT EXISTS verdicts AS SELECT * FROM verdict FINAL;

CREATE VIEW IF NOT EXISTS outcomes AS SELECT * FROM outcome FINAL;

-- What a minute of a step's attempts looked like, per configuration and hardware: quantile
-- states and sums, merged to any longer time when read.
CREATE TABLE IF NOT EXISTS step_minute (
  minute DateTime('UTC'), playbook LowCardinality(String), step LowCardinality(String),
  hardware LowCardinality(String), config LowCardinality(String), batch_size UInt32,
  in_flight UInt32, system UInt8, attempts SimpleAggregateFunction(sum, UInt64),
  failed SimpleAggregateFunction(sum, UInt64), retried SimpleAggregateFunction(sum, UInt64),
  items SimpleAggregateFunction(sum, UInt64), run_s SimpleAggregateFunction(sum, Float64),
  cost_usd SimpleAggregateFunction(sum, Float64), priced SimpleAggregateFunction(sum, UInt64),
  seconds AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(minute)
ORDER BY (playbook, step, minute, hardware, config, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS step_minute_of_attempt AS SELECT
  toStartOfMinute(toDateTime(t.at)) AS minute, playbook, step, hardware, config, batch_size,
  in_flight, system, count() AS attempts, countIf(t.outcome != 'succeeded') AS failed,
  sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.run_s) AS run_s, sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t GROUP BY minute, playbook, step, hardware, config, batch_size, in_flight, system;

CREATE MATERIALIZED VIEW IF NOT EXISTS step_minute_feed TO step_minute AS SELECT
  toStartOfMinute(toDateTime(t.at)) AS minute, playbook, step, hardware, config, batch_size,
  in_flight, system, count() AS attempts, countIf(t.outcome != 'succeeded') AS failed,
  sum(t.retried) AS retried, sumIf(t.items, t.outcome = 'succeeded') AS items,
  sum(t.run_s) AS run_s, sum(ifNull(t.cost_usd, 0)) AS cost_usd,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t GROUP BY minute, playbook, step, hardware, config, batch_size, in_flight, system
