-- The lives of experiments and the versions of data products, from events that were there before:
-- what the record holds of them already is derived once more.
-- fills experiment, product

CREATE TABLE IF NOT EXISTS experiment (
  writer UInt32 COMMENT 'number of the process that wrote the event',
  pos UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta, ZSTD),
  stream String COMMENT 'experiment/<id>' CODEC(ZSTD),
  stream_seq UInt64 COMMENT 'position in that stream' CODEC(Delta, ZSTD),
  at DateTime64(6, 'UTC') COMMENT 'when it happened; UTC, microseconds' CODEC(Delta, ZSTD),
  experiment String COMMENT 'id of the experiment' CODEC(ZSTD),
  proposal String COMMENT 'id of the proposal that it tries' CODEC(ZSTD),
  playbook LowCardinality(String) COMMENT 'path of the playbook',
  step LowCardinality(String) COMMENT 'step that it is about',
  knob_class LowCardinality(String) COMMENT 'class of the knobs that it tries',
  design LowCardinality(String) COMMENT 'how units are drawn: blocks, switchback or run',
  move LowCardinality(String) COMMENT 'what happened: started, ramped, paused, resumed or ended',
  stage UInt16 COMMENT 'stage that it entered, from 0',
  base String COMMENT 'knob values of the control: JSON, as it was started' CODEC(ZSTD),
  arms String COMMENT 'knob values of each arm: JSON, as it was started' CODEC(ZSTD),
  shares String COMMENT 'share of the units of each arm, 0 to 1: JSON, from then on; the rest is control' CODEC(ZSTD),
  block_items UInt64 COMMENT 'items of a block',
  plan String COMMENT 'its statistical settings, frozen: JSON' CODEC(ZSTD),
  actor LowCardinality(String) COMMENT 'who paused or resumed it; empty: nobody did',
  reason String COMMENT 'why it was paused or ended; empty: it was not' CODEC(ZSTD)
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'one row a move of an experiment''s life';

CREATE TABLE IF NOT EXISTS product (
  writer UInt32 COMMENT 'number of the process that wrote the event',
  pos UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta, ZSTD),
  stream String COMMENT 'run/<id>' CODEC(ZSTD),
  stream_seq UInt64 COMMENT 'position in that stream' CODEC(Delta, ZSTD),
  at DateTime64(6, 'UTC') COMMENT 'when it was published or refused; UTC, microseconds' CODEC(Delta, ZSTD),
  run String COMMENT 'id of the run that made it' CODEC(ZSTD),
  playbook LowCardinality(String) COMMENT 'path of its playbook',
  step LowCardinality(String) COMMENT 'step that made it',
  product LowCardinality(String) COMMENT 'name of the product',
  number UInt64 COMMENT 'number of the version that was published, from 1; 0: it was refused',
  state LowCardinality(String) COMMENT 'published: readers see it; refused: its contract does not hold',
  location String COMMENT 'where it lies; empty: it was refused' CODEC(ZSTD),
  media LowCardinality(String) COMMENT 'its format',
  rows UInt64 COMMENT 'rows that it has',
  bytes UInt64 COMMENT 'bytes that it has',
  sha256 String COMMENT 'hash of its bytes' CODEC(ZSTD),
  schema String COMMENT 'its columns: JSON, name → type' CODEC(ZSTD),
  checks String COMMENT 'what its contract''s checks said: JSON' CODEC(ZSTD),
  inputs Array(String) COMMENT 'versions of products that it was made from' CODEC(ZSTD),
  system UInt8 COMMENT '1: of a playbook of the system'
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (product, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'one row a version of a data product, or a refusal of one';

CREATE VIEW IF NOT EXISTS experiments AS SELECT * FROM experiment FINAL;

CREATE VIEW IF NOT EXISTS products AS SELECT * FROM product FINAL
