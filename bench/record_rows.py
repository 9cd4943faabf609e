"""Rows for the record's tables, made inside ClickHouse from ``numbers()``.

A run has twenty attempts: one that plans, seventeen batches of ``enrich``, one that checks, one
that publishes. Forty playbooks share the runs as a power of their rank; half a year goes by. Runs
are named as the runtime names them, by when they began. One attempt in twenty prints a line. Events
and transitions are made for the last twentieth of the runs alone: they are read by stream or time,
so that what is asked of them does not grow with what else is there.
"""

# ruff: noqa: E501 statements of SQL are read by the line

from __future__ import annotations

from typing import Final

BEGIN: Final = 1_767_225_600
"""2026-01-01, UTC."""
DAYS: Final = 180
PER_RUN: Final = 20

_RUN: Final = f"""
  intDiv(number, {PER_RUN}) AS r, number % {PER_RUN} AS k, toFloat64({BEGIN} + {DAYS} * 86400 * (r * {PER_RUN}) / {{total:UInt64}}) AS begun,
  concat(lower(hex(toUInt64(1000 * begun))), substring(lower(hex(sipHash128(r))), 13)) AS run,
  concat('team/flow-', toString(floor(40 * pow(cityHash64(r, 1) % 100000 / 100000, 2.5)))) AS playbook,
  fromUnixTimestamp64Micro(toInt64(1e6 * (begun + 30 * k + cityHash64(number, 2) % 30))) AS at
"""
_STEP: Final = "multiIf(k = 0, 'plan', k < 18, 'enrich', k = 18, 'check', 'publish')"

_ATTEMPT: Final = f"""
INSERT INTO attempt SELECT
  1 AS writer, n * 3 + 3 AS pos, concat('run/', run) AS stream, k * 2 + 4 AS stream_seq, at,
  at - toIntervalMicrosecond(toInt64(1e6 * total_s)) AS scheduled_at, run, playbook,
  hex(cityHash64(playbook, version_number)) AS version, version_number AS number_of_version, step,
  if(step = 'enrich', toInt64(k) - 1, -1) AS batch, -1 AS block, if(step = 'enrich', (k - 1) * 25, 0) AS start,
  concat(run, '/', step, '/', toString(batch), '/1') AS attempt, 1 AS number, outcome,
  if(cause = 0, '', ['timeout', 'transient', 'data', 'throttled', 'resource'][1 + cause % 5]) AS error_class,
  if(cause = 0, '', concat('no answer after ', toString(cityHash64(n, 5) % 900), '.5 s for patient ', toString(n), ', cause ', toString(cause))) AS error_message,
  if(cause = 0, '', lower(hex(sipHash64(playbook, step, cause)))) AS fingerprint,
  cause > 0 AND n % 3 > 0 AS retried, randExponential(2) AS queue_s, run_s, queue_s + run_s AS total_s,
  if(step = 'enrich', 25, 1) AS items, items * 4 AS rows_in, items * 3 AS rows_out, rows_in * 120 AS bytes_in,
  rows_out * 90 AS bytes_out, run_s * 0.4 AS cpu_s, 60000000 + cityHash64(n, 6) % 90000000 AS rss_peak,
  concat('w', toString(cityHash64(n, 7) % 64)) AS worker,
  ['local', 'cpu-large', 'cpu-small', 'gpu-a10'][1 + toUInt64(floor(4 * pow(cityHash64(r, 8) % 1000 / 1000, 2)))] AS hardware,
  'e1' AS environment, if(hardware = 'gpu-a10', NULL, 0.048) AS price_usd_hour, price_usd_hour * run_s / 3600 AS cost_usd,
  0 AS spend_usd, lower(hex(sipHash64(playbook, step, intDiv(n * 4, {{total:UInt64}}), arm))) AS config,
  if(step = 'enrich', 25, 0) AS batch_size, if(step = 'enrich', 4, 0) AS in_flight, 3 AS retry_limit, 60 AS timeout_s,
  hardware AS runs_on, if(arm = '', '', concat('x-', toString(intDiv(n * 100, {{total:UInt64}})))) AS experiment,
  arm, if(arm = '', NULL, 0.1) AS share, 0 AS system, 0 AS overridden, 0 AS post_decision,
  if(cause = 0, '', concat(step, ': ', error_class, ': no answer after <n> s for patient <n>')) AS text,
  if(step = 'check', 900, 0) AS tokens, if(step = 'check', 1, 0) AS calls,
  '' AS alternative, '' AS hedge, 0 AS over_budget
FROM (
  SELECT number AS n, {_RUN}, {_STEP} AS step, 1 + intDiv(number * 10, {{total:UInt64}}) AS version_number,
    if(cityHash64(number, 3) % 100 < 3, toUInt64(1 + floor(200 * pow(cityHash64(number, 4) % 1000 / 1000, 3))), 0) AS cause,
    if(cause = 0, 'succeeded', if(cause % 5 = 0, 'timed_out', 'failed')) AS outcome, randLogNormal(0.5, 0.8) AS run_s,
    if(playbook = 'team/flow-0' AND step = 'enrich' AND number % 10 = 0, if(r % 2 = 0, 'control', 'candidate'), '') AS arm
  FROM numbers({{first:UInt64}}, {{rows:UInt64}})
)
"""

_RUNS: Final = f"""
INSERT INTO run SELECT
  1 AS writer, number * 3 + 60 AS pos, concat('run/', run) AS stream, 45 AS stream_seq, at, run, playbook,
  hex(cityHash64(playbook)) AS version, 1 AS number_of_version, if(number % 600 = 0, 'failed', 'completed') AS state,
  at - toIntervalSecond(700) AS submitted_at, at - toIntervalSecond(690) AS started_at, at AS ended_at,
  690 * randLogNormal(0, 0.3) AS wall_s, {PER_RUN} AS attempts, 1 AS failed_attempts, 425 AS items, 0.01 AS cost_usd,
  'ann' AS actor, 0 AS system, 0 AS overridden, [] AS experiments, if(state = 'failed', 'enrich', '') AS error_step,
  if(state = 'failed', 'timeout', '') AS error_class, if(state = 'failed', 'no answer', '') AS error_message,
  if(state = 'failed', 'f', '') AS fingerprint
FROM (
  SELECT number, {_RUN} FROM (
    SELECT number * {PER_RUN} AS number FROM numbers(intDiv({{first:UInt64}}, {PER_RUN}), intDiv({{rows:UInt64}}, {PER_RUN}))
  )
)
"""

_LAST: Final = "numbers({first:UInt64} + {rows:UInt64} - intDiv({rows:UInt64}, 20), intDiv({rows:UInt64}, 20))"

_EVENTS: Final = f"""
INSERT INTO event SELECT
  1 AS writer, number * 2 + kind AS pos, concat('run/', run) AS stream, k * 2 + 3 + kind AS stream_seq, at,
  if(kind = 0, 'attempt.scheduled', 'attempt.finished') AS type, 1 AS version,
  concat('{{"attempt":"', run, '/enrich/', toString(k), '/1","step":"enrich","number":1,"outcome":"succeeded","scheduled":',
    toString(k * 2), ',"run_s":', toString(cityHash64(number) % 9000 / 1000), ',"worker":"w1","hardware":"local"',
    if(kind = 1 AND number % 20 = 3, concat(',"stdout":"Patient ', toString(number), ' has ', if(number % 1000 = 3, 'no', 'all'), ' records\\\\n"'), ''), '}}') AS body
FROM (SELECT number, {_RUN} FROM {_LAST}) ARRAY JOIN [0, 1] AS kind
"""

_OUTPUTS: Final = f"""
INSERT INTO output SELECT
  1 AS writer, number * 2 + 1 AS pos, concat('run/', run) AS stream, k * 2 + 4 AS stream_seq, at, run, playbook,
  {_STEP} AS step, if(step = 'enrich', toInt64(k) - 1, -1) AS batch,
  concat(run, '/', step, '/', toString(batch), '/1') AS attempt, 'succeeded' AS outcome,
  concat('Patient ', toString(number), ' has ', if(number % 1000 = 3, 'no', 'all'), ' records\\n') AS printed
FROM (
  SELECT number, {_RUN} FROM (
    SELECT number * 20 + 3 AS number FROM numbers(intDiv({{first:UInt64}}, 20), intDiv({{rows:UInt64}}, 20))
  )
)
"""

_TRANSITIONS: Final = f"""
INSERT INTO transition SELECT
  1 AS writer, number * 2 AS pos, concat('run/', run) AS stream, k * 2 + 3 AS stream_seq, at, ordinal, run, playbook,
  {_STEP} AS step, k AS batch, 1 AS number, concat(run, '/', step, '/', toString(k), '/1') AS attempt,
  ['configured', 'scheduled', 'started', 'finished', 'completed'][ordinal + 1] AS transition, 'w1' AS detail
FROM (SELECT number, {_RUN} FROM {_LAST}) ARRAY JOIN [0, 1, 2, 3, 4] AS ordinal
"""

_AT: Final = f"toDateTime64({BEGIN}, 6, 'UTC') + toIntervalHour(number)"
_NAMED: Final = "toString(intDiv(number, 6))"


FILLS: Final = {
    "attempt": _ATTEMPT,
    "run": _RUNS,
    "event": _EVENTS,
    "output": _OUTPUTS,
    "transition": _TRANSITIONS,
    "proposal": f"""
INSERT INTO proposal (writer, pos, stream, stream_seq, at, proposal, kind, playbook, step, move, target)
SELECT 2, number + 1, concat('proposal/p-', {_NAMED}), number % 6 + 1, {_AT}, concat('p-', {_NAMED}), 'change',
  'team/flow-0', 'enrich', 'gate', 'gated' FROM numbers(3000)
""",
    "verdict": f"""
INSERT INTO verdict (writer, pos, stream, stream_seq, at, proposal, experiment, verdict)
SELECT 2, number + 1, concat('experiment/x-', {_NAMED}), number % 6 + 7, {_AT}, concat('p-', {_NAMED}),
  concat('x-', {_NAMED}), 'better' FROM numbers(3000)
""",
    "outcome": f"""
INSERT INTO outcome (writer, pos, stream, stream_seq, at, proposal, knob_class, objective)
SELECT 2, number + 1, concat('proposal/p-', toString(number)), 9, {_AT}, concat('p-', toString(number)), 'batch', 'time'
FROM numbers(500)
""",
    "experiment": f"""
INSERT INTO experiment (writer, pos, stream, stream_seq, at, experiment, proposal, playbook, step, move, stage)
SELECT 2, number + 1, concat('experiment/x-', {_NAMED}), number % 6 + 1, {_AT}, concat('x-', {_NAMED}),
  concat('p-', {_NAMED}), 'team/flow-0', 'enrich', if(number % 6 = 0, 'started', 'ramped'), number % 6 FROM numbers(3000)
""",
    "product": f"""
INSERT INTO product (writer, pos, stream, stream_seq, at, run, playbook, step, product, number, state)
SELECT 2, number + 1, concat('run/', toString(number)), 9, {_AT} + toIntervalSecond(number), toString(number), 'team/flow-0', 'publish',
  concat('lake/', toString(number % 40)), number, 'published' FROM numbers(4000)
""",
}
"""Table → how its rows are made. Parameters: ``first``, ``rows`` and ``total`` attempts."""
