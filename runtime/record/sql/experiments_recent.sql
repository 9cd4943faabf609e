-- experiments_recent: each experiment as it stands now, newest first, with what its measurements said last.
-- default limit = 100
SELECT
  e.experiment AS experiment, any(e.proposal) AS proposal, any(e.playbook) AS playbook, any(e.step) AS step,
  any(e.knob_class) AS knob_class, any(e.design) AS design, argMax(e.move, e.stream_seq) AS state,
  max(e.stage) AS stage, any(e.base) AS base, any(e.arms) AS arms,
  argMaxIf(e.shares, e.stream_seq, e.move IN ('started', 'ramped')) AS shares, any(e.block_items) AS block_items,
  argMax(e.reason, e.stream_seq) AS reason, any(v.verdict) AS verdict, any(v.units) AS units,
  toUnixTimestamp64Micro(min(e.at)) / 1e6 AS started_at, toUnixTimestamp64Micro(max(e.at)) / 1e6 AS moved_at
FROM experiments AS e
LEFT JOIN (
  SELECT experiment, argMax(verdict, at) AS verdict, argMax(units, at) AS units FROM verdicts GROUP BY experiment
) AS v ON v.experiment = e.experiment
GROUP BY experiment
ORDER BY started_at DESC
LIMIT {limit:UInt32}
