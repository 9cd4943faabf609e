-- run_attempts: every attempt of a run, in order.
SELECT
  stream_seq, toUnixTimestamp64Micro(scheduled_at) / 1e6 AS scheduled_at, toUnixTimestamp64Micro(at) / 1e6 AS at,
  step, batch, block, start, attempt, number, outcome, error_class, error_message, fingerprint, retried, queue_s,
  run_s, total_s, items, rows_in, rows_out, bytes_in, bytes_out, cpu_s, rss_peak, worker, hardware, cost_usd,
  spend_usd, tokens, calls, config, batch_size, in_flight, experiment, arm, post_decision, alternative, hedge,
  over_budget
FROM attempts
WHERE run = {run:String}
ORDER BY stream_seq
