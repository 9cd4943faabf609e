-- history_attempts: attempts with all their columns, as the record keeps them, to be streamed.
-- default playbook = ""
-- default step = ""
-- default run = ""
-- default outcome = ""
-- default error_class = ""
-- default since = 0
-- default until = 4000000000
-- default system = 0
-- default limit = 1000000
SELECT * FROM attempts AS t
WHERE ({playbook:String} = '' OR playbook = {playbook:String})
  AND ({step:String} = '' OR step = {step:String})
  AND ({run:String} = '' OR run = {run:String})
  AND ({outcome:String} = '' OR outcome = {outcome:String})
  AND ({error_class:String} = '' OR error_class = {error_class:String})
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
  AND t.at <= fromUnixTimestamp64Micro(toInt64({until:Float64} * 1e6))
  AND system <= {system:UInt8}
ORDER BY playbook, step, t.at, stream, stream_seq
LIMIT {limit:UInt64}
