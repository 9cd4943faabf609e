CREATE TABLE attempt
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'run/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in the run of the event that ended the attempt' CODEC(Delta(8), ZSTD(1)),
    `at` DateTime64(6, 'UTC') COMMENT 'when it ended; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `scheduled_at` DateTime64(6, 'UTC') COMMENT 'when it was written that it may run; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `run` String COMMENT 'id of the run' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of its playbook',
    `version` LowCardinality(String) COMMENT 'hash of the playbook\'s version',
    `number_of_version` UInt32 COMMENT 'number of that version, from 1' CODEC(T64, ZSTD(1)),
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `batch` Int64 COMMENT 'number of the batch of an each, from 0; -1: the step is no each' CODEC(Delta(8), ZSTD(1)),
    `block` Int64 COMMENT 'number of the block of items that an experiment draws as one unit; -1: none' CODEC(Delta(8), ZSTD(1)),
    `start` UInt64 COMMENT 'number of the batch\'s first item, from 0' CODEC(Delta(8), ZSTD(1)),
    `attempt` String COMMENT 'name of the attempt: <run>/<step>/<batch>/<number>' CODEC(ZSTD(1)),
    `number` UInt16 COMMENT 'which try of its work, from 1; a hedge has the number of the try it began beside' CODEC(T64, ZSTD(1)),
    `outcome` LowCardinality(String) COMMENT 'how it ended: succeeded, failed, timed_out, lost or cancelled',
    `error_class` LowCardinality(String) COMMENT 'class of the error; empty: none',
    `error_message` String COMMENT 'what the error said; empty: none' CODEC(ZSTD(1)),
    `fingerprint` String COMMENT 'cause: the same for errors that differ in ids and numbers alone; empty: no error' CODEC(ZSTD(1)),
    `retried` UInt8 COMMENT '1: another try of the same work follows, or decided in its place',
    `queue_s` Float64 COMMENT 'seconds from scheduled to handed to a worker' CODEC(ZSTD(1)),
    `run_s` Float64 COMMENT 'seconds in the tool' CODEC(ZSTD(1)),
    `total_s` Float64 COMMENT 'seconds, queue and run together' CODEC(ZSTD(1)),
    `items` UInt64 COMMENT 'items in its batch; 1: the step is no each' CODEC(T64, ZSTD(1)),
    `rows_in` UInt64 COMMENT 'rows that the tool said it read' CODEC(T64, ZSTD(1)),
    `rows_out` UInt64 COMMENT 'rows that it gave' CODEC(T64, ZSTD(1)),
    `bytes_in` UInt64 COMMENT 'bytes of the values that it read' CODEC(T64, ZSTD(1)),
    `bytes_out` UInt64 COMMENT 'bytes of the value that it gave' CODEC(T64, ZSTD(1)),
    `cpu_s` Float64 COMMENT 'CPU seconds, user and system' CODEC(ZSTD(1)),
    `rss_peak` UInt64 COMMENT 'peak of resident memory, bytes' CODEC(T64, ZSTD(1)),
    `worker` LowCardinality(String) COMMENT 'name of the worker; empty: none took it',
    `hardware` LowCardinality(String) COMMENT 'hardware class that it ran on',
    `environment` LowCardinality(String) COMMENT 'hash of the interpreter and packages that it ran with',
    `price_usd_hour` Nullable(Float64) COMMENT 'price of a slot of that hardware then, USD an hour; null: unknown' CODEC(ZSTD(1)),
    `cost_usd` Nullable(Float64) COMMENT 'cost of the slot\'s seconds and what the tool spent, USD; null: unknown' CODEC(ZSTD(1)),
    `spend_usd` Float64 COMMENT 'what the tool said that it spent, USD' CODEC(ZSTD(1)),
    `config` LowCardinality(String) COMMENT 'hash of the step\'s configuration',
    `batch_size` UInt32 COMMENT 'knob each.batch: items a batch; 0: not set' CODEC(T64, ZSTD(1)),
    `in_flight` UInt32 COMMENT 'knob each.in_flight: batches at once; 0: not set' CODEC(T64, ZSTD(1)),
    `retry_limit` UInt16 COMMENT 'knob retry.attempts: tries at most; 0: not set' CODEC(T64, ZSTD(1)),
    `timeout_s` Nullable(Float64) COMMENT 'knob timeout, seconds; null: not set' CODEC(ZSTD(1)),
    `runs_on` LowCardinality(String) COMMENT 'knob runs_on: hardware class that was asked for; empty: any',
    `experiment` LowCardinality(String) COMMENT 'id of the experiment that it was a sample of; empty: none',
    `arm` LowCardinality(String) COMMENT 'its arm: control, candidate…; empty: no experiment',
    `share` Nullable(Float64) COMMENT 'share of the units that its arm had then, 0 to 1; null: no experiment' CODEC(ZSTD(1)),
    `system` UInt8 COMMENT '1: of a playbook of the system',
    `overridden` UInt8 COMMENT '1: the run had knob values of its own',
    `post_decision` UInt8 COMMENT '1: it was still running when its own experiment was decided',
    `text` String COMMENT 'step, class, message and place of the error, ids and numbers masked; empty: no error' CODEC(ZSTD(1)),
    `tokens` UInt64 COMMENT 'tokens of a model that the tool said it used' CODEC(T64, ZSTD(1)),
    `calls` UInt64 COMMENT 'calls of a service that the tool said it made' CODEC(T64, ZSTD(1)),
    INDEX by_run run TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (playbook, step, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, ttl_only_drop_parts = 1
COMMENT 'one row an attempt that ended, joined with its plan, its configuration and its run';

CREATE TABLE cause_hour
(
    `hour` DateTime('UTC') COMMENT 'the hour in which they ended, its start; UTC' CODEC(Delta(4), ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of the playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `error_class` LowCardinality(String) COMMENT 'class of the error',
    `fingerprint` String COMMENT 'cause: the same for errors that differ in ids and numbers alone' CODEC(ZSTD(1)),
    `hardware` LowCardinality(String) COMMENT 'hardware class that they ran on',
    `config` LowCardinality(String) COMMENT 'hash of the step\'s configuration',
    `arm` LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
    `system` UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD(1)),
    `failures` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended so' CODEC(ZSTD(1)),
    `retried` SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD(1)),
    `run_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD(1)),
    `runs` AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD(1)),
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `text` SimpleAggregateFunction(any, String) COMMENT 'step, class, message and place of the error, ids and numbers masked' CODEC(ZSTD(1)),
    `last_message` AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: what the last of them said' CODEC(ZSTD(1)),
    `last_run` AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: the run of the last of them' CODEC(ZSTD(1)),
    `last_attempt` AggregateFunction(argMax, String, DateTime64(6, 'UTC')) COMMENT 'state: the name of the last of them' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (playbook, step, hour, error_class, fingerprint, hardware, config, arm, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'what an hour of attempts failed of: by cause, class, hardware, configuration and arm';

CREATE TABLE cost_day
(
    `day` Date COMMENT 'the day on which they ended; UTC' CODEC(Delta(2), ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of the playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `hardware` LowCardinality(String) COMMENT 'hardware class that they ran on',
    `price_usd_hour` Float64 COMMENT 'price of a slot then, USD an hour; -1: unknown' CODEC(ZSTD(1)),
    `system` UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD(1)),
    `attempts` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD(1)),
    `priced` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD(1)),
    `slot_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds that they held a slot' CODEC(ZSTD(1)),
    `priced_slot_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds of a slot of those whose cost is known' CODEC(ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'cost where it is known, else what the tool spent, USD' CODEC(ZSTD(1)),
    `spend_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD(1)),
    `tokens` SimpleAggregateFunction(sum, UInt64) COMMENT 'tokens of a model that the tools said they used' CODEC(ZSTD(1)),
    `calls` SimpleAggregateFunction(sum, UInt64) COMMENT 'calls of a service that the tools said they made' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (playbook, step, day, hardware, price_usd_hour, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'what a day of a step\'s attempts cost, by hardware and the price that was paid';

CREATE TABLE event
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position among the events of its writer, from 1 without a gap' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'what the event is about: run/<id>, proposal/<id>, playbook/<path>…' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in its stream, from 1 without a gap',
    `at` DateTime64(6, 'UTC') COMMENT 'when it was written; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `type` LowCardinality(String) COMMENT 'type of the event, as in the reference of events',
    `version` UInt16 COMMENT 'version of its type that the body is written in',
    `body` String COMMENT 'the event as JSON, byte for byte as in the journal' CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, ttl_only_drop_parts = 1
COMMENT 'one row an event, with the journal\'s own bytes: what equality is checked on';

CREATE TABLE experiment
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'experiment/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in that stream' CODEC(Delta(8), ZSTD(1)),
    `at` DateTime64(6, 'UTC') COMMENT 'when it happened; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `experiment` String COMMENT 'id of the experiment' CODEC(ZSTD(1)),
    `proposal` String COMMENT 'id of the proposal that it tries' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of the playbook',
    `step` LowCardinality(String) COMMENT 'step that it is about',
    `knob_class` LowCardinality(String) COMMENT 'class of the knobs that it tries',
    `design` LowCardinality(String) COMMENT 'how units are drawn: blocks, switchback or run',
    `move` LowCardinality(String) COMMENT 'what happened: started, ramped, paused, resumed or ended',
    `stage` UInt16 COMMENT 'stage that it entered, from 0',
    `base` String COMMENT 'knob values of the control: JSON, as it was started' CODEC(ZSTD(1)),
    `arms` String COMMENT 'knob values of each arm: JSON, as it was started' CODEC(ZSTD(1)),
    `shares` String COMMENT 'share of the units of each arm, 0 to 1: JSON, from then on; the rest is control' CODEC(ZSTD(1)),
    `block_items` UInt64 COMMENT 'items of a block',
    `plan` String COMMENT 'its statistical settings, frozen: JSON' CODEC(ZSTD(1)),
    `actor` LowCardinality(String) COMMENT 'who paused or resumed it; empty: nobody did',
    `reason` String COMMENT 'why it was paused or ended; empty: it was not' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'one row a move of an experiment\'s life';

CREATE TABLE migration
(
    `name` String COMMENT 'file of the step',
    `at` DateTime('UTC') DEFAULT now() COMMENT 'when it was taken; UTC',
    `hash` String DEFAULT '' COMMENT 'SHA-256 of its statements; empty: taken before hashes were kept'
)
ENGINE = MergeTree
ORDER BY name
SETTINGS index_granularity = 8192
COMMENT 'which steps the schema has taken';

CREATE TABLE outcome
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer',
    `stream` String COMMENT 'proposal/<id>',
    `stream_seq` UInt64 COMMENT 'position in that stream',
    `at` DateTime64(6, 'UTC') COMMENT 'when it was recorded; UTC, microseconds',
    `proposal` String COMMENT 'id of the proposal',
    `knob_class` LowCardinality(String) COMMENT 'class of the knobs that it changed',
    `objective` LowCardinality(String) COMMENT 'what it was to better: time or cost',
    `lower` Nullable(Float64) COMMENT 'predicted change as a share, lower bound: -0.2 is a fifth less; null: not said',
    `median` Nullable(Float64) COMMENT 'predicted change as a share; null: not said',
    `upper` Nullable(Float64) COMMENT 'predicted change as a share, upper bound; null: not said',
    `realised` Nullable(Float64) COMMENT 'realised change as a share; null: not known',
    `realised_lower` Nullable(Float64) COMMENT 'its lower bound; null: not known',
    `realised_upper` Nullable(Float64) COMMENT 'its upper bound; null: not known',
    `covered` LowCardinality(String) COMMENT 'whether the prediction covered it: true, false; empty: not known'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'predicted against realised effect: the ledger';

CREATE TABLE output
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'run/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in the run of the event that ended the attempt' CODEC(Delta(8), ZSTD(1)),
    `at` DateTime64(6, 'UTC') COMMENT 'when it ended; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `run` String COMMENT 'id of the run' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of its playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `batch` Int64 COMMENT 'number of the batch of an each, from 0; -1: the step is no each' CODEC(Delta(8), ZSTD(1)),
    `attempt` String COMMENT 'name of the attempt: <run>/<step>/<batch>/<number>' CODEC(ZSTD(1)),
    `outcome` LowCardinality(String) COMMENT 'how it ended: succeeded, failed, timed_out, lost or cancelled',
    `printed` String COMMENT 'what it printed, its last 64 KiB' CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (playbook, step, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'one row an attempt that printed anything';

CREATE TABLE price
(
    `day` Date COMMENT 'the day on which they ended; UTC' CODEC(Delta(2), ZSTD(1)),
    `hardware` LowCardinality(String) COMMENT 'hardware class',
    `usd_hour` Float64 COMMENT 'price of a slot, USD an hour' CODEC(ZSTD(1)),
    `attempts` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended at that price' CODEC(ZSTD(1)),
    `run_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'what they cost, USD' CODEC(ZSTD(1)),
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (hardware, day, usd_hour)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'the prices that attempts were reckoned with, by hardware class and day';

CREATE TABLE product
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'run/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in that stream' CODEC(Delta(8), ZSTD(1)),
    `at` DateTime64(6, 'UTC') COMMENT 'when it was published or refused; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `run` String COMMENT 'id of the run that made it' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of its playbook',
    `step` LowCardinality(String) COMMENT 'step that made it',
    `product` LowCardinality(String) COMMENT 'name of the product',
    `number` UInt64 COMMENT 'number of the version that was published, from 1; 0: it was refused',
    `state` LowCardinality(String) COMMENT 'published: readers see it; refused: its contract does not hold',
    `location` String COMMENT 'where it lies; empty: it was refused' CODEC(ZSTD(1)),
    `media` LowCardinality(String) COMMENT 'its format',
    `rows` UInt64 COMMENT 'rows that it has',
    `bytes` UInt64 COMMENT 'bytes that it has',
    `sha256` String COMMENT 'hash of its bytes' CODEC(ZSTD(1)),
    `schema` String COMMENT 'its columns: JSON, name → type' CODEC(ZSTD(1)),
    `checks` String COMMENT 'what its contract\'s checks said: JSON' CODEC(ZSTD(1)),
    `inputs` Array(String) COMMENT 'versions of products that it was made from' CODEC(ZSTD(1)),
    `system` UInt8 COMMENT '1: of a playbook of the system'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (product, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'one row a version of a data product, or a refusal of one';

CREATE TABLE proposal
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer',
    `stream` String COMMENT 'proposal/<id>',
    `stream_seq` UInt64 COMMENT 'position of the move in the proposal\'s life',
    `at` DateTime64(6, 'UTC') COMMENT 'when it moved; UTC, microseconds',
    `proposal` String COMMENT 'id of the proposal',
    `kind` LowCardinality(String) COMMENT 'change: one candidate; experiment: several, to learn',
    `playbook` LowCardinality(String) COMMENT 'path of the playbook that it is about',
    `step` LowCardinality(String) COMMENT 'step that it is about',
    `knob_class` LowCardinality(String) COMMENT 'class of the knobs that it changes: batch, retry, placement…',
    `objective` LowCardinality(String) COMMENT 'what it is to better: time or cost',
    `author` LowCardinality(String) COMMENT 'who drafted it',
    `diff` String COMMENT 'its changes: JSON list of knob, from, and to or values' CODEC(ZSTD(1)),
    `predicted` String COMMENT 'predicted effects as shares: JSON, objective → lower, median, upper' CODEC(ZSTD(1)),
    `evidence` String COMMENT 'hash of the evidence that it stands on',
    `move` LowCardinality(String) COMMENT 'the move: draft, gate, approve, begin…',
    `source` LowCardinality(String) COMMENT 'state before; empty: it was just drafted',
    `target` LowCardinality(String) COMMENT 'state after',
    `actor` LowCardinality(String) COMMENT 'who moved it',
    `reason` LowCardinality(String) COMMENT 'why, as a code',
    `note` String COMMENT 'why, in words' CODEC(ZSTD(1)),
    `bound_hash` String COMMENT 'hash of what an approval is bound to; empty: no approval',
    `policy_hash` String COMMENT 'hash of the policy that it was judged by',
    `stage` UInt16 COMMENT 'stage of the trial, from 0'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'one row a move of a proposal\'s life';

CREATE TABLE run
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer',
    `stream` String COMMENT 'run/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position in the run of the event that ended it',
    `at` DateTime64(6, 'UTC') COMMENT 'when it ended; UTC, microseconds',
    `run` String COMMENT 'id of the run' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of its playbook',
    `version` LowCardinality(String) COMMENT 'hash of the playbook\'s version',
    `number_of_version` UInt32 COMMENT 'number of that version, from 1',
    `state` LowCardinality(String) COMMENT 'how it ended: completed, failed or cancelled',
    `submitted_at` DateTime64(6, 'UTC') COMMENT 'when it was asked for; UTC, microseconds',
    `started_at` DateTime64(6, 'UTC') COMMENT 'when it began; UTC, microseconds',
    `ended_at` DateTime64(6, 'UTC') COMMENT 'when it ended; UTC, microseconds',
    `wall_s` Float64 COMMENT 'seconds from start to end',
    `attempts` UInt64 COMMENT 'attempts that ended in it',
    `failed_attempts` UInt64 COMMENT 'those of them that failed; beaten hedges are not counted',
    `items` UInt64 COMMENT 'items of its largest each; 1: it has none',
    `cost_usd` Nullable(Float64) COMMENT 'cost of its attempts, USD; null: that of none is known',
    `actor` LowCardinality(String) COMMENT 'who asked for it',
    `system` UInt8 COMMENT '1: of a playbook of the system',
    `overridden` UInt8 COMMENT '1: it had knob values of its own, or goes on from another run',
    `experiments` Array(String) COMMENT 'ids of the experiments that it has samples of',
    `error_step` LowCardinality(String) COMMENT 'step that it failed at; empty: it did not',
    `error_class` LowCardinality(String) COMMENT 'class of the error; empty: none',
    `error_message` String COMMENT 'what the error said; empty: none' CODEC(ZSTD(1)),
    `fingerprint` String COMMENT 'cause of the failure; empty: none' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (playbook, at, stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, ttl_only_drop_parts = 1
COMMENT 'one row a run that ended, added up from its stream';

CREATE TABLE step_day
(
    `day` Date COMMENT 'the day on which they ended; UTC' CODEC(Delta(2), ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of the playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `hardware` LowCardinality(String) COMMENT 'hardware class that they ran on',
    `config` LowCardinality(String) COMMENT 'hash of the step\'s configuration',
    `arm` LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
    `experiment` LowCardinality(String) COMMENT 'id of the experiment; empty: none',
    `number_of_version` UInt32 COMMENT 'number of the playbook\'s version, from 1' CODEC(ZSTD(1)),
    `batch_size` UInt32 COMMENT 'knob each.batch: items a batch; 0: not set' CODEC(ZSTD(1)),
    `in_flight` UInt32 COMMENT 'knob each.in_flight: batches at once; 0: not set' CODEC(ZSTD(1)),
    `system` UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD(1)),
    `attempts` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD(1)),
    `failed` SimpleAggregateFunction(sum, UInt64) COMMENT 'those that failed; beaten hedges are not counted' CODEC(ZSTD(1)),
    `retried` SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD(1)),
    `items` SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded' CODEC(ZSTD(1)),
    `rows_in` SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they read' CODEC(ZSTD(1)),
    `rows_out` SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they gave' CODEC(ZSTD(1)),
    `bytes_in` SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they read' CODEC(ZSTD(1)),
    `bytes_out` SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they gave' CODEC(ZSTD(1)),
    `cpu_s` SimpleAggregateFunction(sum, Float64) COMMENT 'CPU seconds' CODEC(ZSTD(1)),
    `queue_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds from scheduled to handed to a worker' CODEC(ZSTD(1)),
    `run_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD(1)),
    `total_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds, queue and run together' CODEC(ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD(1)),
    `spend_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD(1)),
    `priced` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD(1)),
    `priced_items` SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded and whose cost is known' CODEC(ZSTD(1)),
    `priced_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool of those whose cost is known' CODEC(ZSTD(1)),
    `rss_peak` SimpleAggregateFunction(max, UInt64) COMMENT 'largest peak of resident memory, bytes' CODEC(ZSTD(1)),
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `runs` AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD(1)),
    `queue` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds from scheduled to handed to a worker' CODEC(ZSTD(1)),
    `running` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds in the tool' CODEC(ZSTD(1)),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds, queue and run together' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (playbook, step, day, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'what a day of a step\'s attempts added up to, by hardware, configuration and arm';

CREATE TABLE step_hour
(
    `hour` DateTime('UTC') COMMENT 'the hour in which they ended, its start; UTC' CODEC(Delta(4), ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of the playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2',
    `hardware` LowCardinality(String) COMMENT 'hardware class that they ran on',
    `config` LowCardinality(String) COMMENT 'hash of the step\'s configuration',
    `arm` LowCardinality(String) COMMENT 'arm of the experiment: control, candidate…; empty: no experiment',
    `experiment` LowCardinality(String) COMMENT 'id of the experiment; empty: none',
    `number_of_version` UInt32 COMMENT 'number of the playbook\'s version, from 1' CODEC(ZSTD(1)),
    `batch_size` UInt32 COMMENT 'knob each.batch: items a batch; 0: not set' CODEC(ZSTD(1)),
    `in_flight` UInt32 COMMENT 'knob each.in_flight: batches at once; 0: not set' CODEC(ZSTD(1)),
    `system` UInt8 COMMENT '1: of a playbook of the system' CODEC(ZSTD(1)),
    `attempts` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts that ended' CODEC(ZSTD(1)),
    `failed` SimpleAggregateFunction(sum, UInt64) COMMENT 'those that failed; beaten hedges are not counted' CODEC(ZSTD(1)),
    `retried` SimpleAggregateFunction(sum, UInt64) COMMENT 'those that another try of the same work followed or beat' CODEC(ZSTD(1)),
    `items` SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded' CODEC(ZSTD(1)),
    `rows_in` SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they read' CODEC(ZSTD(1)),
    `rows_out` SimpleAggregateFunction(sum, UInt64) COMMENT 'rows that they gave' CODEC(ZSTD(1)),
    `bytes_in` SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they read' CODEC(ZSTD(1)),
    `bytes_out` SimpleAggregateFunction(sum, UInt64) COMMENT 'bytes of the values that they gave' CODEC(ZSTD(1)),
    `cpu_s` SimpleAggregateFunction(sum, Float64) COMMENT 'CPU seconds' CODEC(ZSTD(1)),
    `queue_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds from scheduled to handed to a worker' CODEC(ZSTD(1)),
    `run_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool' CODEC(ZSTD(1)),
    `total_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds, queue and run together' CODEC(ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'cost of those whose cost is known, USD' CODEC(ZSTD(1)),
    `spend_usd` SimpleAggregateFunction(sum, Float64) COMMENT 'what the tools said that they spent, USD' CODEC(ZSTD(1)),
    `priced` SimpleAggregateFunction(sum, UInt64) COMMENT 'attempts whose cost is known' CODEC(ZSTD(1)),
    `priced_items` SimpleAggregateFunction(sum, UInt64) COMMENT 'items of those that succeeded and whose cost is known' CODEC(ZSTD(1)),
    `priced_s` SimpleAggregateFunction(sum, Float64) COMMENT 'seconds in the tool of those whose cost is known' CODEC(ZSTD(1)),
    `rss_peak` SimpleAggregateFunction(max, UInt64) COMMENT 'largest peak of resident memory, bytes' CODEC(ZSTD(1)),
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')) COMMENT 'when the first of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when the last of them ended; UTC, microseconds' CODEC(ZSTD(1)),
    `runs` AggregateFunction(uniqCombined64(14), String) COMMENT 'state: how many runs they are of' CODEC(ZSTD(1)),
    `queue` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds from scheduled to handed to a worker' CODEC(ZSTD(1)),
    `running` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds in the tool' CODEC(ZSTD(1)),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64) COMMENT 'state: p50, p90, p95 and p99 of seconds, queue and run together' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (playbook, step, hour, hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system)
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, index_granularity = 8192
COMMENT 'what an hour of a step\'s attempts added up to, by hardware, configuration and arm';

CREATE TABLE transition
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer' CODEC(Delta(8), ZSTD(1)),
    `stream` String COMMENT 'run/<id>' CODEC(ZSTD(1)),
    `stream_seq` UInt64 COMMENT 'position of the event in the run',
    `at` DateTime64(6, 'UTC') COMMENT 'when the transition happened; UTC, microseconds' CODEC(Delta(8), ZSTD(1)),
    `ordinal` UInt16 COMMENT 'position among the transitions of one event, from 0',
    `run` String COMMENT 'id of the run' CODEC(ZSTD(1)),
    `playbook` LowCardinality(String) COMMENT 'path of its playbook',
    `step` LowCardinality(String) COMMENT 'name of the step; in a loop with its round, as step~2; empty where none is meant',
    `batch` Int64 COMMENT 'number of the batch of an each, from 0; -1: not of a batch',
    `number` UInt16 COMMENT 'which try of its work, from 1; 0: not of an attempt',
    `attempt` String COMMENT 'name of the attempt: <run>/<step>/<batch>/<number>; empty: not of one' CODEC(ZSTD(1)),
    `transition` LowCardinality(String) COMMENT 'what happened, as in the life of a run: configured, scheduled, leased, started, finished…',
    `detail` String COMMENT 'what belongs to it: worker, outcome, class of error, arc, configuration' CODEC(ZSTD(1)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq, ordinal)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, ttl_only_drop_parts = 1
COMMENT 'each transition that an event stands for: configured, scheduled, started, finished, retried, completed, tokens';

CREATE TABLE verdict
(
    `writer` UInt32 COMMENT 'number of the process that wrote the event',
    `pos` UInt64 COMMENT 'position of the event among those of its writer',
    `stream` String COMMENT 'what it was written in: proposal/<id> or experiment/<id>',
    `stream_seq` UInt64 COMMENT 'position in that stream',
    `at` DateTime64(6, 'UTC') COMMENT 'when it was reached; UTC, microseconds',
    `proposal` String COMMENT 'id of the proposal',
    `experiment` String COMMENT 'id of the experiment',
    `verdict` LowCardinality(String) COMMENT 'better, worse or inconclusive',
    `reason` LowCardinality(String) COMMENT 'why, as a code',
    `units` String COMMENT 'how many units were measured: JSON, arm → number' CODEC(ZSTD(1)),
    `statistics` String COMMENT 'what was computed of them: JSON' CODEC(ZSTD(1)),
    `final` UInt8 COMMENT '1: the experiment is decided'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (stream, stream_seq)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
COMMENT 'what an experiment\'s measurements said';

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
    `text` String,
    `tokens` UInt64,
    `calls` UInt64
)
AS SELECT *
FROM attempt
FINAL;

CREATE MATERIALIZED VIEW cause_hour_feed TO cause_hour
(
    `hour` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `error_class` LowCardinality(String),
    `fingerprint` String,
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `arm` LowCardinality(String),
    `system` UInt8,
    `failures` UInt64,
    `retried` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `runs` AggregateFunction(uniqCombined64(14), String),
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC'),
    `text` String,
    `last_message` AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
    `last_run` AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
    `last_attempt` AggregateFunction(argMax, String, DateTime64(6, 'UTC'))
)
AS SELECT
    toStartOfHour(t.at, 'UTC') AS hour,
    playbook,
    step,
    error_class,
    fingerprint,
    hardware,
    config,
    arm,
    system,
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
FROM attempt AS t
WHERE fingerprint != ''
GROUP BY
    hour,
    playbook,
    step,
    error_class,
    fingerprint,
    hardware,
    config,
    arm,
    system;

CREATE VIEW cause_hour_of_attempt
(
    `hour` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `error_class` LowCardinality(String),
    `fingerprint` String,
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `arm` LowCardinality(String),
    `system` UInt8,
    `failures` UInt64,
    `retried` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `runs` AggregateFunction(uniqCombined64(14), String),
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC'),
    `text` String,
    `last_message` AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
    `last_run` AggregateFunction(argMax, String, DateTime64(6, 'UTC')),
    `last_attempt` AggregateFunction(argMax, String, DateTime64(6, 'UTC'))
)
AS SELECT
    toStartOfHour(t.at, 'UTC') AS hour,
    playbook,
    step,
    error_class,
    fingerprint,
    hardware,
    config,
    arm,
    system,
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
FROM attempt AS t
WHERE fingerprint != ''
GROUP BY
    hour,
    playbook,
    step,
    error_class,
    fingerprint,
    hardware,
    config,
    arm,
    system;

CREATE MATERIALIZED VIEW cost_day_feed TO cost_day
(
    `day` Date,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `price_usd_hour` Float64,
    `system` UInt8,
    `attempts` UInt64,
    `priced` UInt64,
    `slot_s` Float64,
    `priced_slot_s` Float64,
    `cost_usd` Float64,
    `spend_usd` Float64,
    `tokens` UInt64,
    `calls` UInt64
)
AS SELECT
    toDate(t.at, 'UTC') AS day,
    playbook,
    step,
    hardware,
    ifNull(t.price_usd_hour, -1) AS price_usd_hour,
    system,
    count() AS attempts,
    countIf(t.cost_usd IS NOT NULL) AS priced,
    sum(t.total_s - t.queue_s) AS slot_s,
    sumIf(t.total_s - t.queue_s, t.cost_usd IS NOT NULL) AS priced_slot_s,
    sum(ifNull(t.cost_usd, t.spend_usd)) AS cost_usd,
    sum(t.spend_usd) AS spend_usd,
    sum(t.tokens) AS tokens,
    sum(t.calls) AS calls
FROM attempt AS t
GROUP BY
    day,
    playbook,
    step,
    hardware,
    price_usd_hour,
    system;

CREATE VIEW cost_day_of_attempt
(
    `day` Date,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `price_usd_hour` Float64,
    `system` UInt8,
    `attempts` UInt64,
    `priced` UInt64,
    `slot_s` Float64,
    `priced_slot_s` Float64,
    `cost_usd` Float64,
    `spend_usd` Float64,
    `tokens` UInt64,
    `calls` UInt64
)
AS SELECT
    toDate(t.at, 'UTC') AS day,
    playbook,
    step,
    hardware,
    ifNull(t.price_usd_hour, -1) AS price_usd_hour,
    system,
    count() AS attempts,
    countIf(t.cost_usd IS NOT NULL) AS priced,
    sum(t.total_s - t.queue_s) AS slot_s,
    sumIf(t.total_s - t.queue_s, t.cost_usd IS NOT NULL) AS priced_slot_s,
    sum(ifNull(t.cost_usd, t.spend_usd)) AS cost_usd,
    sum(t.spend_usd) AS spend_usd,
    sum(t.tokens) AS tokens,
    sum(t.calls) AS calls
FROM attempt AS t
GROUP BY
    day,
    playbook,
    step,
    hardware,
    price_usd_hour,
    system;

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

CREATE VIEW experiments
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `experiment` String,
    `proposal` String,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `knob_class` LowCardinality(String),
    `design` LowCardinality(String),
    `move` LowCardinality(String),
    `stage` UInt16,
    `base` String,
    `arms` String,
    `shares` String,
    `block_items` UInt64,
    `plan` String,
    `actor` LowCardinality(String),
    `reason` String
)
AS SELECT *
FROM experiment
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

CREATE VIEW outputs
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `run` String,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `batch` Int64,
    `attempt` String,
    `outcome` LowCardinality(String),
    `printed` String
)
AS SELECT *
FROM output
FINAL;

CREATE MATERIALIZED VIEW price_feed TO price
(
    `day` Date,
    `hardware` LowCardinality(String),
    `usd_hour` Float64,
    `attempts` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC')
)
AS SELECT
    toDate(t.at, 'UTC') AS day,
    hardware,
    assumeNotNull(t.price_usd_hour) AS usd_hour,
    count() AS attempts,
    sum(t.run_s) AS run_s,
    sum(ifNull(t.cost_usd, 0)) AS cost_usd,
    min(t.at) AS first_at,
    max(t.at) AS last_at
FROM attempt AS t
WHERE price_usd_hour IS NOT NULL
GROUP BY
    day,
    hardware,
    usd_hour;

CREATE VIEW price_of_attempt
(
    `day` Date,
    `hardware` LowCardinality(String),
    `usd_hour` Float64,
    `attempts` UInt64,
    `run_s` Float64,
    `cost_usd` Float64,
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC')
)
AS SELECT
    toDate(t.at, 'UTC') AS day,
    hardware,
    assumeNotNull(t.price_usd_hour) AS usd_hour,
    count() AS attempts,
    sum(t.run_s) AS run_s,
    sum(ifNull(t.cost_usd, 0)) AS cost_usd,
    min(t.at) AS first_at,
    max(t.at) AS last_at
FROM attempt AS t
WHERE price_usd_hour IS NOT NULL
GROUP BY
    day,
    hardware,
    usd_hour;

CREATE VIEW prices
(
    `hardware` LowCardinality(String),
    `usd_hour` Float64,
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `attempts` UInt64,
    `run_s` Float64,
    `cost_usd` Float64
)
AS SELECT
    hardware,
    usd_hour,
    min(t.first_at) AS first_at,
    max(t.last_at) AS last_at,
    sum(t.attempts) AS attempts,
    sum(t.run_s) AS run_s,
    sum(t.cost_usd) AS cost_usd
FROM price AS t
GROUP BY
    hardware,
    usd_hour;

CREATE VIEW products
(
    `writer` UInt32,
    `pos` UInt64,
    `stream` String,
    `stream_seq` UInt64,
    `at` DateTime64(6, 'UTC'),
    `run` String,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `product` LowCardinality(String),
    `number` UInt64,
    `state` LowCardinality(String),
    `location` String,
    `media` LowCardinality(String),
    `rows` UInt64,
    `bytes` UInt64,
    `sha256` String,
    `schema` String,
    `checks` String,
    `inputs` Array(String),
    `system` UInt8
)
AS SELECT *
FROM product
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

CREATE MATERIALIZED VIEW step_day_feed TO step_day
(
    `day` Date,
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `arm` LowCardinality(String),
    `experiment` LowCardinality(String),
    `number_of_version` UInt32,
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` UInt64,
    `failed` UInt64,
    `retried` UInt64,
    `items` UInt64,
    `rows_in` UInt64,
    `rows_out` UInt64,
    `bytes_in` UInt64,
    `bytes_out` UInt64,
    `cpu_s` Float64,
    `queue_s` Float64,
    `run_s` Float64,
    `total_s` Float64,
    `cost_usd` Float64,
    `spend_usd` Float64,
    `priced` UInt64,
    `priced_items` UInt64,
    `priced_s` Float64,
    `rss_peak` SimpleAggregateFunction(max, UInt64),
    `first_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `runs` AggregateFunction(uniqCombined64(14), String),
    `queue` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `running` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64)
)
AS SELECT
    toDate(t.hour, 'UTC') AS day,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
    batch_size,
    in_flight,
    system,
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
GROUP BY
    day,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
    batch_size,
    in_flight,
    system;

CREATE MATERIALIZED VIEW step_hour_feed TO step_hour
(
    `hour` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `arm` LowCardinality(String),
    `experiment` LowCardinality(String),
    `number_of_version` UInt32,
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` UInt64,
    `failed` UInt64,
    `retried` UInt64,
    `items` UInt64,
    `rows_in` UInt64,
    `rows_out` UInt64,
    `bytes_in` UInt64,
    `bytes_out` UInt64,
    `cpu_s` Float64,
    `queue_s` Float64,
    `run_s` Float64,
    `total_s` Float64,
    `cost_usd` Float64,
    `spend_usd` Float64,
    `priced` UInt64,
    `priced_items` UInt64,
    `priced_s` Float64,
    `rss_peak` UInt64,
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC'),
    `runs` AggregateFunction(uniqCombined64(14), String),
    `queue` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `running` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64)
)
AS SELECT
    toStartOfHour(t.at, 'UTC') AS hour,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
    batch_size,
    in_flight,
    system,
    count() AS attempts,
    countIf((t.outcome != 'succeeded') AND (NOT ((t.outcome = 'cancelled') AND (t.retried = 1))) AND (NOT ((t.outcome = 'lost') AND (t.error_class = 'lost') AND (t.worker = '')))) AS failed,
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
    sumIf(t.items, (t.outcome = 'succeeded') AND (t.cost_usd IS NOT NULL)) AS priced_items,
    sumIf(t.run_s, t.cost_usd IS NOT NULL) AS priced_s,
    max(t.rss_peak) AS rss_peak,
    min(t.at) AS first_at,
    max(t.at) AS last_at,
    uniqCombined64State(14)(t.run) AS runs,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.queue_s) AS queue,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.run_s) AS running,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY
    hour,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
    batch_size,
    in_flight,
    system;

CREATE VIEW step_hour_of_attempt
(
    `hour` DateTime('UTC'),
    `playbook` LowCardinality(String),
    `step` LowCardinality(String),
    `hardware` LowCardinality(String),
    `config` LowCardinality(String),
    `arm` LowCardinality(String),
    `experiment` LowCardinality(String),
    `number_of_version` UInt32,
    `batch_size` UInt32,
    `in_flight` UInt32,
    `system` UInt8,
    `attempts` UInt64,
    `failed` UInt64,
    `retried` UInt64,
    `items` UInt64,
    `rows_in` UInt64,
    `rows_out` UInt64,
    `bytes_in` UInt64,
    `bytes_out` UInt64,
    `cpu_s` Float64,
    `queue_s` Float64,
    `run_s` Float64,
    `total_s` Float64,
    `cost_usd` Float64,
    `spend_usd` Float64,
    `priced` UInt64,
    `priced_items` UInt64,
    `priced_s` Float64,
    `rss_peak` UInt64,
    `first_at` DateTime64(6, 'UTC'),
    `last_at` DateTime64(6, 'UTC'),
    `runs` AggregateFunction(uniqCombined64(14), String),
    `queue` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `running` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64),
    `seconds` AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Float64)
)
AS SELECT
    toStartOfHour(t.at, 'UTC') AS hour,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
    batch_size,
    in_flight,
    system,
    count() AS attempts,
    countIf((t.outcome != 'succeeded') AND (NOT ((t.outcome = 'cancelled') AND (t.retried = 1))) AND (NOT ((t.outcome = 'lost') AND (t.error_class = 'lost') AND (t.worker = '')))) AS failed,
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
    sumIf(t.items, (t.outcome = 'succeeded') AND (t.cost_usd IS NOT NULL)) AS priced_items,
    sumIf(t.run_s, t.cost_usd IS NOT NULL) AS priced_s,
    max(t.rss_peak) AS rss_peak,
    min(t.at) AS first_at,
    max(t.at) AS last_at,
    uniqCombined64State(14)(t.run) AS runs,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.queue_s) AS queue,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.run_s) AS running,
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(t.total_s) AS seconds
FROM attempt AS t
GROUP BY
    hour,
    playbook,
    step,
    hardware,
    config,
    arm,
    experiment,
    number_of_version,
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
