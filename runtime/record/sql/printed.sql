-- printed: what attempts printed that says a text, newest first, with where and when.
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default limit = 100
SELECT
  substring(e.stream, 5) AS run, a.playbook AS playbook, a.step AS step, a.batch AS batch, a.attempt AS attempt,
  a.outcome AS outcome, toUnixTimestamp64Micro(e.at) / 1e6 AS at, JSONExtractString(e.body, 'stdout') AS printed
FROM events AS e
INNER JOIN attempts AS a ON a.stream = e.stream AND a.stream_seq = e.stream_seq
WHERE e.type = 'attempt.finished' AND positionCaseInsensitiveUTF8(JSONExtractString(e.body, 'stdout'), {text:String}) > 0
  AND ({playbook:String} = '' OR a.playbook = {playbook:String}) AND ({step:String} = '' OR a.step = {step:String})
  AND e.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
ORDER BY at DESC
LIMIT {limit:UInt32}
