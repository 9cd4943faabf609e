-- proposals_recent: each proposal as it stands now, newest first.
-- default limit = 100
SELECT
  proposal, any(t.kind) AS kind, any(t.playbook) AS playbook, any(t.step) AS step, any(t.knob_class) AS knob_class,
  any(t.objective) AS objective, any(t.author) AS author, any(t.diff) AS diff, any(t.predicted) AS predicted,
  any(t.evidence) AS evidence, argMax(t.target, t.stream_seq) AS state, argMax(t.reason, t.stream_seq) AS reason,
  argMax(t.actor, t.stream_seq) AS actor, toUnixTimestamp64Micro(min(t.at)) / 1e6 AS drafted_at,
  toUnixTimestamp64Micro(max(t.at)) / 1e6 AS moved_at
FROM proposals AS t
GROUP BY proposal
ORDER BY drafted_at DESC
LIMIT {limit:UInt32}
