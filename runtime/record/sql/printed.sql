-- printed: what attempts printed that says a text, newest first, with where and when.
-- default playbook = ""
-- default step = ""
-- default since = 0
-- default limit = 100
-- Few attempts print: the rest is left out before any JSON is read, and of the attempts only
-- those of the runs that were found are looked up, by the index.
WITH found AS (
  SELECT stream, stream_seq, at, JSONExtractString(body, 'stdout') AS printed
  FROM event
  WHERE type = 'attempt.finished' AND position(body, '"stdout":') > 0
    AND at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
    AND positionCaseInsensitiveUTF8(printed, {text:String}) > 0
  LIMIT 1 BY stream, stream_seq
)
SELECT
  a.run AS run, a.playbook AS playbook, a.step AS step, a.batch AS batch, a.attempt AS attempt,
  a.outcome AS outcome, toUnixTimestamp64Micro(e.at) / 1e6 AS at, e.printed AS printed
FROM (
  SELECT stream, stream_seq, run, playbook, step, batch, attempt, outcome
  FROM attempts
  WHERE run IN (SELECT substring(stream, 5) FROM found)
    AND ({playbook:String} = '' OR playbook = {playbook:String}) AND ({step:String} = '' OR step = {step:String})
) AS a
INNER JOIN found AS e ON a.stream = e.stream AND a.stream_seq = e.stream_seq
ORDER BY at DESC
LIMIT {limit:UInt32}
