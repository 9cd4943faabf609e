"""A candidate from outside: is it one at all, before the policy is asked?

Every fault is named at once. The evidence must hash to its id, since an approval is bound
to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.errors import Invalid
from optimizer.evidence import is_intact
from optimizer.proposal import Candidate
from runtime.run.events import Json

SHAPE: Final[Mapping[str, type]] = {
    "kind": str, "playbook": str, "step": str, "knob_class": str, "objective": str,
    "diff": list, "base": dict, "evidence": dict, "predicted": dict,
}  # fmt: skip


def candidate_faults(candidate: Candidate) -> list[str]:
    """Return everything that keeps a value from being a candidate at all."""
    faults = []
    kind: str = candidate.kind
    if kind not in ("change", "experiment"):
        faults.append(f"kind: {kind!r} is neither change nor experiment")
    if candidate.objective not in ("cost", "time"):
        faults.append(f"objective: {candidate.objective!r} is neither cost nor time")
    wanted = {"knob", "from", "to"} if kind == "change" else {"knob", "from", "values"}
    lines: list[Json] = list(candidate.diff)
    for i, line in enumerate(lines):
        if not isinstance(line, Mapping) or set(line) != wanted:
            faults.append(f"diff[{i}]: expected the keys {', '.join(sorted(wanted))}")
        elif "values" in wanted and (not isinstance(line["values"], list) or not line["values"]):
            faults.append(f"diff[{i}].values: expected a list of values")
    if not faults and {line["knob"] for line in candidate.diff} != set(candidate.base):
        faults.append("base: expected the stable value of each knob in diff, and no other")
    if "id" in candidate.evidence and not is_intact(candidate.evidence):
        faults.append("evidence: its id is not the hash of the rest")
    return faults


def candidate_of(value: Json) -> Candidate:
    """Return the candidate that a JSON value holds.

    Raises:
        Invalid: with everything that is missing or of the wrong kind.
    """
    if not isinstance(value, Mapping):
        raise Invalid([f"a candidate has keys and values, got {value!r}"])
    faults = [f"{name}: missing" for name in SHAPE if name not in value]
    faults += [
        f"{name}: expected {kind.__name__}, got {value[name]!r}"
        for name, kind in SHAPE.items()
        if name in value and not isinstance(value[name], kind)
    ]
    if faults:
        raise Invalid(faults)
    return Candidate.from_json(value)
