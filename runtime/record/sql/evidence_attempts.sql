-- evidence_attempts: a step's attempts as evidence for the optimizer: no texts, no system runs, no overrides, none from after a decision, none that went down with the server.
-- default since = 0
-- default until = 4000000000
-- default writers = []
-- default positions = []
-- default limit = 1000000
SELECT
  toUnixTimestamp64Micro(t.at) / 1e6 AS at, toUnixTimestamp64Micro(scheduled_at) / 1e6 AS scheduled_at,
  writer, pos, run, version, number_of_version, batch, block, start, attempt, number, outcome, error_class,
  retried, queue_s, run_s, total_s, items, rows_in, rows_out, bytes_in, bytes_out, cpu_s, rss_peak, hardware,
  price_usd_hour, cost_usd, spend_usd, config, batch_size, in_flight, retry_limit, timeout_s, runs_on,
  experiment, arm, share, alternative, hedge, over_budget
FROM attempts AS t
WHERE playbook = {playbook:String} AND step = {step:String}
  AND t.at >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1e6))
  AND t.at <= fromUnixTimestamp64Micro(toInt64({until:Float64} * 1e6))
  AND system = 0 AND overridden = 0 AND post_decision = 0
  AND NOT (t.outcome = 'lost' AND t.error_class = 'lost' AND t.worker = '')
  AND (empty({writers:Array(UInt32)})
    OR (has({writers:Array(UInt32)}, writer)
      AND pos <= {positions:Array(UInt64)}[indexOf({writers:Array(UInt32)}, writer)]))
ORDER BY writer, pos
LIMIT {limit:UInt64}
