"""The keys of a playbook: every word its author may write, with what it means.

One table a mapping. ``parse`` refuses what is not in them, the JSON Schema is made from
them, and the reference in the docs must name each. ``*_LATER`` hold the keys of the
design that the runtime does not support yet: they are refused, never ignored.
"""

from __future__ import annotations

from typing import Final

API_VERSION: Final = "trimtab/v1"
KIND: Final = "Playbook"

PLAYBOOK: Final = {
    "apiVersion": f"always {API_VERSION}",
    "kind": f"always {KIND}",
    "metadata": "what the playbook is: path, description, labels",
    "workload": "inputs: name → default, type and constraints",
    "workflow": "the steps; the first is where a run starts",
    "objective": "what to have less of: cost (the default) or time",
    "secrets": "names of the secrets that steps may refer to",
    "deadline": "how long a run may take in all",
    "limits": "resources that steps share: name → how much of it at once, or per second",
    "finally": "steps that run in order at every end of a run",
}
METADATA: Final = {
    "path": "the playbook's name in the catalogue, such as risk/score_application",
    "description": "one sentence for people",
    "labels": "words to find it by",
}
INPUT: Final = {
    "type": "string, integer, number, boolean, object, array or any",
    "default": "the value when none is given; without one the input is required",
    "required": "whether a value must be given",
    "min": "the least number",
    "max": "the greatest number",
    "choices": "the values that are allowed",
    "description": "one sentence for people",
}
STEP: Final = {
    "step": "the step's name; expressions call its result by it",
    "tool": "what the step runs; a step without a tool only routes",
    "with": "arguments for the tool",
    "each": "run the tool over items, cut in batches",
    "next": "where to go on: a step, a list of steps, or arcs",
    "split": "which matching arcs are taken: exclusive (the first) or inclusive (all)",
    "join": "when a step with several inputs fires: all, any, or at_least so many",
    "repeat": "run the tool again until a condition holds",
    "set": "values to put into the run's context, as ctx.name",
    "compensate": "a tool that undoes the step when the run fails later",
    "effect": "none, idempotent or once: whether trying again is safe",
    "retry": "when to try again",
    "hedge": "when a second try begins beside one that takes long",
    "start": "for which hours of the day the step may wait before it begins",
    "timeout": "how long one attempt may take",
    "queue_timeout": "how long an attempt may wait for a slot",
    "total_timeout": "how long the step may take, retries and batches included",
    "heartbeat": "how long an attempt may give no sign of life, such as a word of progress",
    "memory": "how much memory an attempt and its processes may hold, such as 512MB",
    "output": "how large an attempt's result may be, such as 64MB",
    "processes": "how many processes an attempt may have at once, beside the worker's own",
    "uses": "limits the step is under, of the playbook or of the installation",
    "runs_on": "the hardware class of the workers",
    "alternatives": "other tools with the same contract, by name",
    "tune": "which knobs may be tuned, within which bounds",
    "slo": "what the step is meant to keep",
    "publishes": "the step's result becomes a version of a data product",
    "record": "what of the step's texts is kept in the record",
}
STEP_LATER: Final = ()
TOOL_ONLY: Final = (
    "with", "each", "repeat", "effect", "retry", "hedge", "start", "timeout", "queue_timeout",
    "total_timeout", "heartbeat", "memory", "output", "processes", "runs_on", "uses",
    "compensate", "alternatives", "tune", "slo", "publishes",
)  # fmt: skip
"""Step keys that mean nothing on a step that only routes."""
FINALLY: Final = (
    "step", "tool", "with", "effect", "retry", "timeout", "queue_timeout", "heartbeat", "memory",
    "output", "processes", "runs_on", "uses", "record",
)  # fmt: skip
"""Keys of a step of ``finally``: it runs in its order, and nothing follows from it."""
ARC: Final = {
    "to": "the step to go to",
    "when": "a bare expression: take the arc when it holds",
    "otherwise": "take the arc when no other matched",
    "on": "take the arc when the step finally failed with one of these classes",
    "max": "how often an arc back to the head of its loop may be taken",
}
EACH: Final = {
    "in": "the items: an expression that gives a list, or a table",
    "batch": "how many items an attempt gets",
    "in_flight": "how many batches run at once",
    "failures": "how many items may fail: allow, a share or a number",
    "reduce": "what the batches' results come to, instead of their list: name → reducer",
}
FAILURES: Final = {"allow": "a share (1%) or a number of items that may fail"}
RETRY: Final = {
    "attempts": "how many tries in all",
    "backoff": "exponential, linear or constant",
    "initial": "the first delay",
    "max": "the longest delay",
    "jitter": "full (any delay up to the computed one) or none",
    "on": "the classes of error that are tried again",
    "budget": "the share (10%) of first tries that may be tried again, over all runs",
}
HEDGE: Final = {
    "after": "how long a try may run before another begins beside it",
    "max": "how many may begin beside the first",
}
START: Final = {
    "hours": "from one full hour to another, such as 22-6, or any (the default)",
    "at_most": "the longest that the step may wait for them",
    "zone": "whose clock tells the hours, such as Europe/Berlin; UTC if it is not said",
    "spread": "in how long after they open runs that have waited begin, each at its own moment",
}
JOIN: Final = {
    "all": "true: fires once every input is live or dead",
    "any": "true: fires on the first live input",
    "at_least": "fires on so many live inputs",
    "within": "how long to wait, from the first live input",
    "at_deadline": "what then: fire, fail (the default), or the step that takes over",
    "losers": "what is late when the join has fired: finish (the run waits for it) or cancel",
}
REPEAT: Final = {
    "until": "a bare expression: the step is done when it holds",
    "max": "how many rounds at most",
    "wait": "how long to wait between two rounds",
}
LIMIT: Final = {
    "in_flight": "so many at once",
    "per_second": "so many begun per second",
}
BOUNDS: Final = {
    "min": "the least value",
    "max": "the greatest value",
    "choices": "the values to choose among",
    "window": "of start.hours: how long the windows are that a day is cut into, such as 4h",
}
SLO: Final = {"p95": "95% of attempts take no longer", "success": "this share succeeds"}
PUBLISHES: Final = {
    "product": "the product's name, such as healthcare.readmission_features",
    "format": "parquet or arrow",
    "contract": "the file of checks that the result must pass",
}
RECORD: Final = {"text": "off keeps the step's texts out of record and index"}
REDUCERS: Final = {
    "add": "the sum (of texts and lists: one after the other)",
    "append": "a list of every value",
    "merge": "one mapping of all keys",
    "min": "the least",
    "max": "the greatest",
}

HABITS: Final = {
    "name": "step", "id": "step", "args": "with", "params": "with", "inputs": "with",
    "needs": "next (of the step before)", "depends_on": "next (of the step before)",
    "foreach": "each", "for_each": "each", "loop": "each", "map": "each", "iterator": "each",
    "hours": "start", "schedule": "start",
    "undo": "compensate", "rollback": "compensate", "poll": "repeat", "limits": "uses",
    "retries": "retry", "vars": "set", "if": "when (on the arc that leads here)",
    "uses_tool": "tool", "then": "next", "goto": "next",
}  # fmt: skip
"""Words of other systems, and what they are called here."""
