"""Reading what a step waits for: how many live inputs, for how long, and what happens then.

``join`` is a word (``all``, ``any``) or a mapping: one of ``all``, ``any`` and ``at_least``,
and beside it how long the join may wait.
"""

from __future__ import annotations

from typing import Final, Literal

from runtime.playbook import keys
from runtime.playbook.draft import StepDraft
from runtime.playbook.model import Join
from runtime.playbook.part import Part

KINDS: Final = ("all", "any", "at_least")
FIRE: Final = "fire"
FAIL: Final = "fail"
"""What a late join may do; any other word names the step that takes over."""
INPUTS: Final = 10_000
"""How many inputs a join may ask for at all."""


def read_join(read: StepDraft, part: Part | None) -> Join:
    """Return when the step fires; the step that takes over is left in the draft."""
    if part is None:
        return Join()
    if part.node.kind != "map":
        return Join("any" if part.choice("join", ("all", "any")) == "any" else "all")
    part.keys(keys.JOIN, habits={"timeout": "within", "quorum": "at_least"})
    kind, n = _kind(part)
    within = part.child("within")
    return Join(
        kind, n,
        within_s=within.duration("within") if within is not None else None,
        at_deadline=_deadline(read, part.child("at_deadline"), within),
        losers=_losers(part.child("losers"), waits_for_all=kind == "all" and within is None),
    )  # fmt: skip


def _kind(part: Part) -> tuple[Literal["all", "any", "at_least"], int]:
    given = [child for name in KINDS if (child := part.child(name)) is not None]
    if not given:
        part.refuse("a join says how many inputs it needs", "add all: true, or any or at_least")
    for child in given[1:]:
        child.refuse("a join has one of all, any and at_least", at=child.key)
    for name in ("all", "any"):
        child = part.child(name)
        if child is not None and child.value is not True:
            child.refuse(f"{name} must be true")
    least = part.child("at_least")
    if least is not None:
        return "at_least", least.whole("at_least", 1, INPUTS) or 1
    return ("any", 0) if part.child("any") is not None else ("all", 0)


def _losers(part: Part | None, *, waits_for_all: bool) -> Literal["finish", "cancel"]:
    if part is None or part.choice("losers", ("finish", "cancel")) != "cancel":
        return "finish"
    if waits_for_all:
        hint = "leave it out, or write any, at_least or within"
        part.refuse("a join that waits for all has no losers", hint)
    return "cancel"


def _deadline(read: StepDraft, part: Part | None, within: Part | None) -> str:
    if part is None:
        return FAIL
    if within is None:
        part.refuse("a join without within never comes to its deadline", "add within: 5m",
                    at=part.key)  # fmt: skip
    found = part.text("at_deadline", hint="fire, fail, or the name of a step")
    if found not in (None, FIRE, FAIL):
        read.takeover = part
    return found or FAIL
