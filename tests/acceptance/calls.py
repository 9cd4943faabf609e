"""A playbook that calls a service, which refuses batches of more than twelve, and its change."""

from __future__ import annotations

from pathlib import Path

from optimizer.proposal import Candidate

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/calls}
objective: time
workflow:
  - step: make
    tool: {kind: python, code: "result = list(range(COUNT))"}
    next: call
  - step: call
    each: {in: "{{ make }}", batch: 5, in_flight: 2}
    tool: {kind: python, call: "calls:call"}
    effect: idempotent
    retry: {attempts: 2, initial: 5ms, on: [transient, lost]}
    tune: {each.batch: {min: 1, max: 100}}
"""
CODE = """
import time

def call(items):
    time.sleep(CALL_S)
    if len(items) > 12:
        raise ConnectionError("503: too many ids")
    return items
"""


def write(folder: Path, count: int, call_s: float = 0.004, more: str = "") -> Path:
    """Write the playbook of so many items, and its code; return where it is."""
    (folder / "calls.yaml").write_text(YAML.replace("COUNT", str(count)))
    (folder / "calls.py").write_text(CODE.replace("CALL_S", str(call_s)) + more)
    return folder / "calls.yaml"


def change(before: int, to: int) -> Candidate:
    return Candidate(
        "change", "test/calls", "call", "batch", "time",
        [{"knob": "each.batch", "from": before, "to": to}], {"each.batch": before},
        {"support": 1.0}, {"time": {"lower": -0.6, "median": -0.5, "upper": -0.4}},
    )  # fmt: skip
