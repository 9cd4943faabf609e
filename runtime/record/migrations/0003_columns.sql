-- What each table and column is, in its own words: the reference is written from these comments.
-- Numbers are compressed by what they are; what is old leaves in whole parts, by settings.

ALTER TABLE event MODIFY COMMENT 'one row an event, with the journal''s own bytes: what equality is checked on';

ALTER TABLE event
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position among the events of its writer, from 1 without a gap',
  COMMENT COLUMN stream 'what the event is about: run/<id>, proposal/<id>, playbook/<path>…',
  COMMENT COLUMN stream_seq 'position in its stream, from 1 without a gap',
  COMMENT COLUMN at 'when it was written; UTC, microseconds',
  COMMENT COLUMN type 'type of the event, as in the reference of events',
  COMMENT COLUMN version 'version of its type that the body is written in',
  COMMENT COLUMN body 'the event as JSON, byte for byte as in the journal';

ALTER TABLE transition MODIFY COMMENT 'each transition that an event stands for: configured, scheduled, started, finished, retried, completed, tokens';

ALTER TABLE transition
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'run/<id>',
  COMMENT COLUMN stream_seq 'position of the event in the run',
  COMMENT COLUMN at 'when the transition happened; UTC, microseconds',
  COMMENT COLUMN ordinal 'position among the transitions of one event, from 0',
  COMMENT COLUMN run 'id of the run',
  COMMENT COLUMN playbook 'path of its playbook',
  COMMENT COLUMN step 'name of the step; in a loop with its round, as step~2; empty where none is meant',
  COMMENT COLUMN batch 'number of the batch of an each, from 0; -1: not of a batch',
  COMMENT COLUMN number 'which try of its work, from 1; 0: not of an attempt',
  COMMENT COLUMN attempt 'name of the attempt: <run>/<step>/<batch>/<number>; empty: not of one',
  COMMENT COLUMN transition 'what happened, as in the life of a run: configured, scheduled, leased, started, finished…',
  COMMENT COLUMN detail 'what belongs to it: worker, outcome, class of error, arc, configuration';

ALTER TABLE attempt MODIFY COMMENT 'one row an attempt that ended, joined with its plan, its configuration and its run';

ALTER TABLE attempt
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'run/<id>',
  COMMENT COLUMN stream_seq 'position in the run of the event that ended the attempt',
  COMMENT COLUMN at 'when it ended; UTC, microseconds',
  COMMENT COLUMN scheduled_at 'when it was written that it may run; UTC, microseconds',
  COMMENT COLUMN run 'id of the run',
  COMMENT COLUMN playbook 'path of its playbook',
  COMMENT COLUMN version 'hash of the playbook''s version',
  COMMENT COLUMN number_of_version 'number of that version, from 1',
  COMMENT COLUMN step 'name of the step; in a loop with its round, as step~2',
  COMMENT COLUMN batch 'number of the batch of an each, from 0; -1: the step is no each',
  COMMENT COLUMN block 'number of the block of items that an experiment draws as one unit; -1: none',
  COMMENT COLUMN start 'number of the batch''s first item, from 0',
  COMMENT COLUMN attempt 'name of the attempt: <run>/<step>/<batch>/<number>',
  COMMENT COLUMN number 'which try of its work, from 1; a hedge has the number of the try it began beside',
  COMMENT COLUMN outcome 'how it ended: succeeded, failed, timed_out, lost or cancelled',
  COMMENT COLUMN error_class 'class of the error; empty: none',
  COMMENT COLUMN error_message 'what the error said; empty: none',
  COMMENT COLUMN fingerprint 'cause: the same for errors that differ in ids and numbers alone; empty: no error',
  COMMENT COLUMN retried '1: another try of the same work follows, or decided in its place',
  COMMENT COLUMN queue_s 'seconds from scheduled to handed to a worker',
  COMMENT COLUMN run_s 'seconds in the tool',
  COMMENT COLUMN total_s 'seconds, queue and run together',
  COMMENT COLUMN items 'items in its batch; 1: the step is no each',
  COMMENT COLUMN rows_in 'rows that the tool said it read',
  COMMENT COLUMN rows_out 'rows that it gave',
  COMMENT COLUMN bytes_in 'bytes of the values that it read',
  COMMENT COLUMN bytes_out 'bytes of the value that it gave',
  COMMENT COLUMN cpu_s 'CPU seconds, user and system',
  COMMENT COLUMN rss_peak 'peak of resident memory, bytes',
  COMMENT COLUMN worker 'name of the worker; empty: none took it',
  COMMENT COLUMN hardware 'hardware class that it ran on',
  COMMENT COLUMN environment 'hash of the interpreter and packages that it ran with',
  COMMENT COLUMN price_usd_hour 'price of a slot of that hardware then, USD an hour; null: unknown',
  COMMENT COLUMN cost_usd 'cost of the slot''s seconds and what the tool spent, USD; null: unknown',
  COMMENT COLUMN spend_usd 'what the tool said that it spent, USD',
  COMMENT COLUMN config 'hash of the step''s configuration',
  COMMENT COLUMN batch_size 'knob each.batch: items a batch; 0: not set',
  COMMENT COLUMN in_flight 'knob each.in_flight: batches at once; 0: not set',
  COMMENT COLUMN retry_limit 'knob retry.attempts: tries at most; 0: not set',
  COMMENT COLUMN timeout_s 'knob timeout, seconds; null: not set',
  COMMENT COLUMN runs_on 'knob runs_on: hardware class that was asked for; empty: any',
  COMMENT COLUMN experiment 'id of the experiment that it was a sample of; empty: none',
  COMMENT COLUMN arm 'its arm: control, candidate…; empty: no experiment',
  COMMENT COLUMN share 'share of the units that its arm had then, 0 to 1; null: no experiment',
  COMMENT COLUMN system '1: of a playbook of the system',
  COMMENT COLUMN overridden '1: the run had knob values of its own',
  COMMENT COLUMN post_decision '1: it was still running when its own experiment was decided',
  COMMENT COLUMN text 'step, class, message and place of the error, ids and numbers masked; empty: no error';

ALTER TABLE attempt
  MODIFY COLUMN number_of_version CODEC(T64, ZSTD), MODIFY COLUMN batch CODEC(Delta, ZSTD),
  MODIFY COLUMN block CODEC(Delta, ZSTD), MODIFY COLUMN start CODEC(Delta, ZSTD),
  MODIFY COLUMN stream_seq CODEC(Delta, ZSTD), MODIFY COLUMN number CODEC(T64, ZSTD),
  MODIFY COLUMN queue_s CODEC(ZSTD), MODIFY COLUMN run_s CODEC(ZSTD), MODIFY COLUMN total_s CODEC(ZSTD),
  MODIFY COLUMN items CODEC(T64, ZSTD), MODIFY COLUMN rows_in CODEC(T64, ZSTD),
  MODIFY COLUMN rows_out CODEC(T64, ZSTD), MODIFY COLUMN bytes_in CODEC(T64, ZSTD),
  MODIFY COLUMN bytes_out CODEC(T64, ZSTD), MODIFY COLUMN cpu_s CODEC(ZSTD),
  MODIFY COLUMN rss_peak CODEC(T64, ZSTD), MODIFY COLUMN price_usd_hour CODEC(ZSTD),
  MODIFY COLUMN cost_usd CODEC(ZSTD), MODIFY COLUMN spend_usd CODEC(ZSTD),
  MODIFY COLUMN batch_size CODEC(T64, ZSTD), MODIFY COLUMN in_flight CODEC(T64, ZSTD),
  MODIFY COLUMN retry_limit CODEC(T64, ZSTD), MODIFY COLUMN timeout_s CODEC(ZSTD),
  MODIFY COLUMN share CODEC(ZSTD);

ALTER TABLE run MODIFY COMMENT 'one row a run that ended, added up from its stream';

ALTER TABLE run
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'run/<id>',
  COMMENT COLUMN stream_seq 'position in the run of the event that ended it',
  COMMENT COLUMN at 'when it ended; UTC, microseconds',
  COMMENT COLUMN run 'id of the run',
  COMMENT COLUMN playbook 'path of its playbook',
  COMMENT COLUMN version 'hash of the playbook''s version',
  COMMENT COLUMN number_of_version 'number of that version, from 1',
  COMMENT COLUMN state 'how it ended: completed, failed or cancelled',
  COMMENT COLUMN submitted_at 'when it was asked for; UTC, microseconds',
  COMMENT COLUMN started_at 'when it began; UTC, microseconds',
  COMMENT COLUMN ended_at 'when it ended; UTC, microseconds',
  COMMENT COLUMN wall_s 'seconds from start to end',
  COMMENT COLUMN attempts 'attempts that ended in it',
  COMMENT COLUMN failed_attempts 'those of them that failed; beaten hedges are not counted',
  COMMENT COLUMN items 'items of its largest each; 1: it has none',
  COMMENT COLUMN cost_usd 'cost of its attempts, USD; null: that of none is known',
  COMMENT COLUMN actor 'who asked for it',
  COMMENT COLUMN system '1: of a playbook of the system',
  COMMENT COLUMN overridden '1: it had knob values of its own, or goes on from another run',
  COMMENT COLUMN experiments 'ids of the experiments that it has samples of',
  COMMENT COLUMN error_step 'step that it failed at; empty: it did not',
  COMMENT COLUMN error_class 'class of the error; empty: none',
  COMMENT COLUMN error_message 'what the error said; empty: none',
  COMMENT COLUMN fingerprint 'cause of the failure; empty: none';

ALTER TABLE proposal MODIFY COMMENT 'one row a move of a proposal''s life';

ALTER TABLE proposal
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'proposal/<id>',
  COMMENT COLUMN stream_seq 'position of the move in the proposal''s life',
  COMMENT COLUMN at 'when it moved; UTC, microseconds',
  COMMENT COLUMN proposal 'id of the proposal',
  COMMENT COLUMN kind 'change: one candidate; experiment: several, to learn',
  COMMENT COLUMN playbook 'path of the playbook that it is about',
  COMMENT COLUMN step 'step that it is about',
  COMMENT COLUMN knob_class 'class of the knobs that it changes: batch, retry, placement…',
  COMMENT COLUMN objective 'what it is to better: time or cost',
  COMMENT COLUMN author 'who drafted it',
  COMMENT COLUMN diff 'its changes: JSON list of knob, from, and to or values',
  COMMENT COLUMN predicted 'predicted effects as shares: JSON, objective → lower, median, upper',
  COMMENT COLUMN evidence 'hash of the evidence that it stands on',
  COMMENT COLUMN move 'the move: draft, gate, approve, begin…',
  COMMENT COLUMN source 'state before; empty: it was just drafted',
  COMMENT COLUMN target 'state after',
  COMMENT COLUMN actor 'who moved it',
  COMMENT COLUMN reason 'why, as a code',
  COMMENT COLUMN note 'why, in words',
  COMMENT COLUMN bound_hash 'hash of what an approval is bound to; empty: no approval',
  COMMENT COLUMN policy_hash 'hash of the policy that it was judged by',
  COMMENT COLUMN stage 'stage of the trial, from 0';

ALTER TABLE verdict MODIFY COMMENT 'what an experiment''s measurements said';

ALTER TABLE verdict
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'what it was written in: proposal/<id> or experiment/<id>',
  COMMENT COLUMN stream_seq 'position in that stream',
  COMMENT COLUMN at 'when it was reached; UTC, microseconds',
  COMMENT COLUMN proposal 'id of the proposal',
  COMMENT COLUMN experiment 'id of the experiment',
  COMMENT COLUMN verdict 'better, worse or inconclusive',
  COMMENT COLUMN reason 'why, as a code',
  COMMENT COLUMN units 'how many units were measured: JSON, arm → number',
  COMMENT COLUMN statistics 'what was computed of them: JSON',
  COMMENT COLUMN final '1: the experiment is decided';

ALTER TABLE outcome MODIFY COMMENT 'predicted against realised effect: the ledger';

ALTER TABLE outcome
  COMMENT COLUMN writer 'number of the process that wrote the event',
  COMMENT COLUMN pos 'position of the event among those of its writer',
  COMMENT COLUMN stream 'proposal/<id>',
  COMMENT COLUMN stream_seq 'position in that stream',
  COMMENT COLUMN at 'when it was recorded; UTC, microseconds',
  COMMENT COLUMN proposal 'id of the proposal',
  COMMENT COLUMN knob_class 'class of the knobs that it changed',
  COMMENT COLUMN objective 'what it was to better: time or cost',
  COMMENT COLUMN lower 'predicted change as a share, lower bound: -0.2 is a fifth less; null: not said',
  COMMENT COLUMN median 'predicted change as a share; null: not said',
  COMMENT COLUMN upper 'predicted change as a share, upper bound; null: not said',
  COMMENT COLUMN realised 'realised change as a share; null: not known',
  COMMENT COLUMN realised_lower 'its lower bound; null: not known',
  COMMENT COLUMN realised_upper 'its upper bound; null: not known',
  COMMENT COLUMN covered 'whether the prediction covered it: true, false; empty: not known';

ALTER TABLE event MODIFY SETTING ttl_only_drop_parts = 1;

ALTER TABLE transition MODIFY SETTING ttl_only_drop_parts = 1;

ALTER TABLE attempt MODIFY SETTING ttl_only_drop_parts = 1;

ALTER TABLE run MODIFY SETTING ttl_only_drop_parts = 1
