-- experiment_moves: the life of an experiment, in order.
SELECT
  stream_seq, toUnixTimestamp64Micro(at) / 1e6 AS at, move, stage, shares, actor, reason
FROM experiments
WHERE stream = concat('experiment/', {experiment:String})
ORDER BY stream_seq
