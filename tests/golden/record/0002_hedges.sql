CREATE TABLE attempt
(
    `writer` UInt32,
    `pos` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream` String CODEC(ZSTD(1)),
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `scheduled_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `run` String CODEC(ZSTD(1)),
    `playbook` LowCardinality(String),
    `version` LowCardinality(String),
    `number_of_version` UInt32,
    `step` LowCardinality(String),
    `batch` Int64,
    `block` Int64,
    `start` UInt64,
    `attempt` String CODEC(ZSTD(1)),
    `number` UInt16,
    `outcome` LowCardinality(String),
    `error_class` LowCardinality(String),
    `error_message` String CODEC(ZSTD(1)),
    `fingerprint` String CODEC(ZSTD(1)),
    `retried` UInt8,
    `queue_s` Float64,
    `run_s` Float64,
    `total_s` Float64,
    `items` UInt64,
    `rows_in` UInt64,
    `rows_out` UInt64,
    `bytes_in` UInt64,
    `bytes_out` UInt64,
    `cpu_s` Float64,
    `rss_peak` UInt64,
    `worker` LowCardinality(String),
    `hardware` LowCardinality(String),
    `environment` LowCardinality(String),
    `price_usd_hour` Nullable(Float64),
    `cost_usd` Nullable(Float64),
    `spend_usd` Float64,
    `config` LowCardinality(String),
    `batch_size` UInt32,
    `in_flight` UInt32,
    `retry_limit` UInt16,
    `timeout_s` Nullable(Float64),
    `runs_on` LowCardinality(String),
    `experiment` LowCardinality(String),
    `arm` LowCardinality(String),
    `share` Nullable(Float64),
    `system` UInt8,
    `overridden` UInt8,
    `post_decision` UInt8,
    `text` String CODEC(ZSTD(1)),
    INDEX by_run run TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (playbook, step, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE event
(
    `writer` UInt32,
    `pos` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream` String CODEC(ZSTD(1)),
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `type` LowCardinality(String),
    `version` UInt16,
    `body` String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE migration
(
    `name` String,
    `at` DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY name
SETTINGS index_granularity = 8192;

CREATE TABLE outcome
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `knob_class` LowCardinality(String),
    `objective` LowCardinality(String),
    `lower` Nullable(Float64),
    `median` Nullable(Float64),
    `upper` Nullable(Float64),
    `realised` Nullable(Float64),
    `realised_lower` Nullable(Float64),
    `realised_upper` Nullable(Float64),
    `covered` LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE proposal
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `kind` LowCardinality(String),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `knob_class` LowCardinality(String),
    `objective` LowCardinality(String),
    `author` LowCardinality(String),
    `diff` String CODEC(ZSTD(1)),
    `predicted` String CODEC(ZSTD(1)),
    `evidence` String,
    `move` LowCardinality(String),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `actor` LowCardinality(String),
    `reason` LowCardinality(String),
    `note` String CODEC(ZSTD(1)),
    `bound_hash` String,
    `policy_hash` String,
    `stage` UInt16
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE run
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String CODEC(ZSTD(1)),
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `run` String CODEC(ZSTD(1)),
    `playbook` LowCardinality(String),
    `version` LowCardinality(String),
    `number_of_version` UInt32,
    `state` LowCardinality(String),
    `submitted_at` DateTime64(6, 'UTC'),
    `started_at` DateTime64(6, 'UTC'),
    `ended_at` DateTime64(6, 'UTC'),
    `wall_s` Float64,
    `attempts` UInt64,
    `failed_attempts` UInt64,
    `items` UInt64,
    `cost_usd` Nullable(Float64),
    `actor` LowCardinality(String),
    `system` UInt8,
    `overridden` UInt8,
    `experiments` Array(String),
    `error_step` LowCardinality(String),
    `error_class` LowCardinality(String),
    `error_message` String CODEC(ZSTD(1)),
    `fingerprint` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (playbook, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE step_minute
(
    `minute` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` SimpleAggregateFunction(sum, UInt64),
    `failed` SimpleAggregateFunction(sum, UInt64),
    `retried` SimpleAggregateFunction(sum, UInt64),
    `items` SimpleAggregateFunction(sum, UInt64),
    `run_s` SimpleAggregateFunction(sum, Float64),
    `cost_usd` SimpleAggregateFunction(sum, Float64),
    `priced` SimpleAggregateFunction(sum, UInt64),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (playbook, step, minute, hardware, config, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE transition
(
    `writer` UInt32,
    `pos` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream` String CODEC(ZSTD(1)),
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ordinal` UInt16,
    `run` String CODEC(ZSTD(1)),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `batch` Int64,
    `number` UInt16,
    `attempt` String CODEC(ZSTD(1)),
    `transition` LowCardinality(String),
    `detail` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq, ordinal)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE verdict
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `experiment` String,
    `verdict` LowCardinality(String),
    `reason` LowCardinality(String),
    `units` String CODEC(ZSTD(1)),
    `statistics` String CODEC(ZSTD(1)),
    `final` UInt8
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW attempts
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `scheduled_at` DateTime64(6, 'UTC'),
    `run` String,
    `playbook` LowCardinality(String),
    `version` LowCardinality(String),
    `number_of_version` UInt32,
    `step` LowCardinality(String),
    `batch` Int64,
    `block` Int64,
    `start` UInt64,
    `attempt` String,
    `number` UInt16,
    `outcome` LowCardinality(String),
    `error_class` LowCardinality(String),
    `error_message` String,
    `fingerprint` String,
    `retried` UInt8,
    `queue_s` Float64,
    `run_s` Float64,
    `total_s` Float64,
    `items` UInt64,
    `rows_in` UInt64,
    `rows_out` UInt64,
    `bytes_in` UInt64,
    `bytes_out` UInt64,
    `cpu_s` Float64,
    `rss_peak` UInt64,
    `worker` LowCardinality(String),
    `hardware` LowCardinality(String),
    `environment` LowCardinality(String),
    `price_usd_hour` Nullable(Float64),
    `cost_usd` Nullable(Float64),
    `spend_usd` Float64,
    `config` LowCardinality(String),
    `batch_size` UInt32,
    `in_flight` UInt32,
    `retry_limit` UInt16,
    `timeout_s` Nullable(Float64),
    `runs_on` LowCardinality(String),
    `experiment` LowCardinality(String),
    `arm` LowCardinality(String),
    `share` Nullable(Float64),
    `system` UInt8,
    `overridden` UInt8,
    `post_decision` UInt8,
    `text` String
)
AS SELECT *
FROM attempt
FINAL;

CREATE VIEW events
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `type` LowCardinality(String),
    `version` UInt16,
    `body` String
)
AS SELECT *
FROM event
FINAL;

CREATE VIEW outcomes
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `knob_class` LowCardinality(String),
    `objective` LowCardinality(String),
    `lower` Nullable(Float64),
    `median` Nullable(Float64),
    `upper` Nullable(Float64),
    `realised` Nullable(Float64),
    `realised_lower` Nullable(Float64),
    `realised_upper` Nullable(Float64),
    `covered` LowCardinality(String)
)
AS SELECT *
FROM outcome
FINAL;

CREATE VIEW proposals
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `kind` LowCardinality(String),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `knob_class` LowCardinality(String),
    `objective` LowCardinality(String),
    `author` LowCardinality(String),
    `diff` String,
    `predicted` String,
    `evidence` String,
    `move` LowCardinality(String),
    `source` LowCardinality(String),
    `target` LowCardinality(String),
    `actor` LowCardinality(String),
    `reason` LowCardinality(String),
    `note` String,
    `bound_hash` String,
    `policy_hash` String,
    `stage` UInt16
)
AS SELECT *
FROM proposal
FINAL;

CREATE VIEW runs
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `run` String,
    `playbook` LowCardinality(String),
    `version` LowCardinality(String),
    `number_of_version` UInt32,
    `state` LowCardinality(String),
    `submitted_at` DateTime64(6, 'UTC'),
    `started_at` DateTime64(6, 'UTC'),
    `ended_at` DateTime64(6, 'UTC'),
    `wall_s` Float64,
    `attempts` UInt64,
    `failed_attempts` UInt64,
    `items` UInt64,
    `cost_usd` Nullable(Float64),
    `actor` LowCardinality(String),
    `system` UInt8,
    `overridden` UInt8,
    `experiments` Array(String),
    `error_step` LowCardinality(String),
    `error_class` LowCardinality(String),
    `error_message` String,
    `fingerprint` String
)
AS SELECT *
FROM run
FINAL;

CREATE MATERIALIZED VIEW step_minute_feed TO step_minute
(
    `minute` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` UInt64,
    `failed` UInt64,
    `retried` UInt64,
    `items` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `priced` UInt64,
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
)
AS SELECT
    toStartOfMinute(toDateTime(t.at)) AS minute,
    playbook,
    step,
    hardware,
    config,
    batch_size,
    in_flight,
    system,
    count() AS attempts,
    countIf((t.outcome != 'succeeded') AND (NOT ((t.outcome = 'cancelled') AND (t.retried = 1)))) AS failed,
    sum(t.retried) AS retried,
    sumIf(t.items, t.outcome = 'succeeded') AS items,
    sum(t.run_s) AS run_s,
    sum(ifNull(t.cost_usd, 0)) AS cost_usd,
    countIf(t.cost_usd IS NOT NULL) AS priced,
    quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY
    minute,
    playbook,
    step,
    hardware,
    config,
    batch_size,
    in_flight,
    system;

CREATE VIEW step_minute_of_attempt
(
    `minute` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` UInt64,
    `failed` UInt64,
    `retried` UInt64,
    `items` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `priced` UInt64,
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)
)
AS SELECT
    toStartOfMinute(toDateTime(t.at)) AS minute,
    playbook,
    step,
    hardware,
    config,
    batch_size,
    in_flight,
    system,
    count() AS attempts,
    countIf((t.outcome != 'succeeded') AND (NOT ((t.outcome = 'cancelled') AND (t.retried = 1)))) AS failed,
    sum(t.retried) AS retried,
    sumIf(t.items, t.outcome = 'succeeded') AS items,
    sum(t.run_s) AS run_s,
    sum(ifNull(t.cost_usd, 0)) AS cost_usd,
    countIf(t.cost_usd IS NOT NULL) AS priced,
    quantilesTDigestState(0.5, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY
    minute,
    playbook,
    step,
    hardware,
    config,
    batch_size,
    in_flight,
    system;

CREATE VIEW transitions
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `ordinal` UInt16,
    `run` String,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `batch` Int64,
    `number` UInt16,
    `attempt` String,
    `transition` LowCardinality(String),
    `detail` String
)
AS SELECT *
FROM transition
FINAL;

CREATE VIEW verdicts
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `proposal` String,
    `experiment` String,
    `verdict` LowCardinality(String),
    `reason` LowCardinality(String),
    `units` String,
    `statistics` String,
    `final` UInt8
)
AS SELECT *
FROM verdict
FINAL;
