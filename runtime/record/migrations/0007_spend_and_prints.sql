-- What tools reported beside dollars, what attempts printed on rows of its own, and what a day cost
-- by the price that was paid. What was printed before is found in the bodies of the events that are
-- there. Hours that were summed before attempts went down with the server are summed again.
-- fills step_hour

ALTER TABLE attempt
  ADD COLUMN IF NOT EXISTS tokens UInt64 COMMENT 'tokens of a model that the tool said it used' CODEC(T64, ZSTD),
  ADD COLUMN IF NOT EXISTS calls UInt64 COMMENT 'calls of a service that the tool said it made' CODEC(T64, ZSTD);

CREATE OR REPLACE VIEW attempts AS SELECT * FROM attempt FINAL;

CREATE TABLE IF NOT EXISTS output (
  writer UInt32 COMMENT 'number of the process that wrote the event',
  pos UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta, ZSTD),
  stream String COMMENT 'run/<id>' CODEC(ZSTD),
  stream_seq UInt64 COMMENT 'position in the run of the event that ended the attempt' CODEC(Delta, ZSTD),
  at DateTime64(6, 'UTC') COMMENT 'when it ended; UTC, microseconds' CODEC(Delta, ZSTD),
  run String COMMENT 'id of the run' CODEC(ZSTD),
  playbook LowCardinality(String) COMMENT 'path of its playbook',
  step LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
  batch Int64 COMMENT 'number of the batch of an each, from 0; -1: the step is no each' CODEC(Delta, ZSTD),
  attempt String COMMENT 'name of the attempt: <run>/<step>/<batch>/<number>' CODEC(ZSTD),
  outcome LowCardinality(String) COMMENT 'how it ended: succeeded, failed, timed_out, lost or cancelled',
  printed String COMMENT 'what it printed, its last 64 KiB' CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (playbook, step, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'one row an attempt that printed anything';

CREATE VIEW IF NOT EXISTS outputs AS SELECT * FROM output FINAL;

TRUNCATE TABLE output;

INSERT INTO output
SELECT
  a.writer, a.pos, a.stream, a.stream_seq, a.at, a.run, a.playbook, a.step, a.batch, a.attempt, a.outcome, e.printed
FROM (SELECT * FROM attempts WHERE run IN (
  SELECT substring(stream, 5) FROM event WHERE type = 'attempt.finished' AND position(body, '"stdout":') > 0
)) AS a
INNER JOIN (
  SELECT stream, stream_seq, JSONExtractString(body, 'stdout') AS printed FROM event
  WHERE type = 'attempt.finished' AND position(body, '"stdout":') > 0 AND printed != '' LIMIT 1 BY stream, stream_seq
) AS e ON a.stream = e.stream AND a.stream_seq = e.stream_seq
SETTINGS insert_deduplicate = 0;

DROP VIEW IF EXISTS cost_day_feed;

DROP VIEW IF EXISTS cost_day_of_attempt;

DROP TABLE IF EXISTS cost_day SYNC;

CREATE TABLE cost_day (
  day Date COMMENT 'the day on which they ended; UTC' CODEC(Delta, ZSTD),
  playbook LowCardinality(String) COMMENT 'path of the playbook',
  step LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
  hardware LowCardinality(String) COMMENT 'hardware class that they ran on',
  price_usd_hour Float64 COMMENT 'price of a slot then, USD an hour; -1: unknown' CODEC(ZSTD),
  system UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD),
  attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD),
  priced SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD),
  slot_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds that they held a slot' CODEC(ZSTD),
  priced_slot_s SimpleAggregateFunction(sum, Float64) COMMENT 'seconds of a slot of those whose cost is known' CODEC(ZSTD),
  cost_usd SimpleAggregateFunction(sum, Float64) COMMENT 'cost where it is known, else what the tool spent, USD' CODEC(ZSTD),
  spend_usd SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD),
  tokens SimpleAggregateFunction(sum, UInt64) COMMENT 'tokens of a model that the tools said they used' CODEC(ZSTD),
  calls SimpleAggregateFunction(sum, UInt64) COMMENT 'calls of a service that the tools said they made' CODEC(ZSTD)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day)
ORDER BY (playbook, step, day, hardware, price_usd_hour, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT 'what a day of a step''s attempts cost, by hardware and the price that was paid';

CREATE VIEW cost_day_of_attempt AS SELECT
  toDate(t.at, 'UTC') AS day, playbook, step, hardware, ifNull(t.price_usd_hour, -1) AS price_usd_hour, system,
  count() AS attempts,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  sum(t.total_s - t.queue_s) AS slot_s,
  sumIf(t.total_s - t.queue_s, t.cost_usd IS NOT NULL) AS priced_slot_s,
  sum(ifNull(t.cost_usd, t.spend_usd)) AS cost_usd,
  sum(t.spend_usd) AS spend_usd,
  sum(t.tokens) AS tokens,
  sum(t.calls) AS calls
FROM attempt AS t
GROUP BY day, playbook, step, hardware, price_usd_hour, system;

CREATE MATERIALIZED VIEW cost_day_feed TO cost_day AS SELECT
  toDate(t.at, 'UTC') AS day, playbook, step, hardware, ifNull(t.price_usd_hour, -1) AS price_usd_hour, system,
  count() AS attempts,
  countIf(t.cost_usd IS NOT NULL) AS priced,
  sum(t.total_s - t.queue_s) AS slot_s,
  sumIf(t.total_s - t.queue_s, t.cost_usd IS NOT NULL) AS priced_slot_s,
  sum(ifNull(t.cost_usd, t.spend_usd)) AS cost_usd,
  sum(t.spend_usd) AS spend_usd,
  sum(t.tokens) AS tokens,
  sum(t.calls) AS calls
FROM attempt AS t
GROUP BY day, playbook, step, hardware, price_usd_hour, system;

INSERT INTO cost_day SELECT * FROM cost_day_of_attempt
