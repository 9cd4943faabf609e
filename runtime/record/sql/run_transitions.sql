-- run_transitions: every transition of a run, in order: configured, scheduled, started, finished, tokens.
-- default limit = 100000
SELECT
  stream_seq, ordinal, toUnixTimestamp64Micro(at) / 1e6 AS at, step, batch, number, attempt, transition, detail
FROM transitions
WHERE stream = concat('run/', {run:String})
ORDER BY stream_seq, ordinal
LIMIT {limit:UInt64}
