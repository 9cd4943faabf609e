-- history_transitions: transitions as the record keeps them, run by run, to be streamed.
-- default playbook = ""
-- default step = ""
-- default run = ""
-- default transition = ""
-- default since = 0
-- default until = 4000000000
-- default limit = 1000000
SELECT * FROM transitions AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String})
  AND ({step:String} = '' OR step = {step:String})
  AND ({run:String} = '' OR stream = concat('run/', {run:String}))
  AND ({transition:String} = '' OR transition = {transition:String})
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
  AND t.at <= fromUnixTimestamp64Micro(toInt64({until:Float64} * 1e6))
ORDER BY stream, stream_seq, ordinal
LIMIT {limit:UInt64}
