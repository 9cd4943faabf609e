-- runs_recent: the runs that ended last.
-- default playbook = ""
-- default state = ""
-- default system = 0
-- default limit = 100
SELECT
  run, playbook, number_of_version, state, toUnixTimestamp64Micro(submitted_at) / 1e6 AS submitted_at,
  toUnixTimestamp64Micro(started_at) / 1e6 AS started_at, toUnixTimestamp64Micro(ended_at) / 1e6 AS ended_at,
  wall_s, attempts, failed_attempts, items, cost_usd, actor, system, overridden, experiments, error_step,
  error_class, error_message, fingerprint
FROM runs
WHERE ({playbook:String} = '' OR playbook = {playbook:String}) AND ({state:String} = '' OR state = {state:String})
  AND system <= {system:UInt8}
ORDER BY at DESC
LIMIT {limit:UInt32}
