-- proposal_moves: the life of a proposal, in order.
SELECT
  stream_seq, toUnixTimestamp64Micro(at) / 1e6 AS at, move, source, target, actor, reason, note, stage, bound_hash,
  policy_hash
FROM proposals
WHERE stream = concat('proposal/', {proposal:String})
ORDER BY stream_seq
