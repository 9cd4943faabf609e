-- products_recent: the versions of data products that were published or refused last, with their checks.
-- default product = ""
-- default playbook = ""
-- default state = ""
-- default limit = 100
SELECT
  product, number, state, toUnixTimestamp64Micro(t.at) / 1e6 AS at, run, playbook, step, location, media, rows, bytes,
  sha256, schema, checks, inputs
FROM products AS t
WHERE ({product:String} = '' OR product = {product:String}) AND ({playbook:String} = '' OR playbook = {playbook:String})
  AND ({state:String} = '' OR state = {state:String})
ORDER BY t.at DESC
LIMIT {limit:UInt32}
