-- printed: what attempts printed that says a text, newest first, with where and when.
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default limit = 100
SELECT
  run, playbook, step, batch, attempt, outcome, toUnixTimestamp64Micro(o.at) / 1e6 AS at, printed
FROM outputs AS o
WHERE positionCaseInsensitiveUTF8(o.printed, {text:String}) > 0
  AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
  AND o.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
ORDER BY at DESC
LIMIT {limit:UInt32}
