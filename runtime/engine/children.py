"""Child runs: a step of kind ``playbook`` starts one and waits for its end.

A child's id is a hash of the attempt that starts it, so that starting it twice, after a
crash say, is one start. Its version was pinned when the parent was submitted.
"""

from __future__ import annotations

import hashlib
from typing import Final

from runtime.engine.catalogue import Catalogue, Version
from runtime.engine.errors import TooDeep
from runtime.engine.submit import Submit
from runtime.run.decide import DEADLINE, Ended
from runtime.run.events import Fault, Json
from runtime.run.state import RunState, Try
from runtime.run.tokens import LATE_JOIN

MAX_DEPTH: Final = 10
"""How many runs may be above a run."""


def child_id(attempt: str) -> str:
    """Return the id of the run that an attempt starts."""
    parent = attempt.split("/", 1)[0]
    return parent[:12] + hashlib.sha256(attempt.encode()).hexdigest()[:20]


def parent_of(parent: str) -> tuple[str, str]:
    """Return the run and the attempt that a child reports to."""
    return parent.split("/", 1)[0], parent


def pins(version: Version, catalogue: Catalogue) -> dict[str, str]:
    """Return the version of each registered playbook that the steps name by path."""
    return {
        path: catalogue.latest(path).registered.version
        for path in version.named_paths
        if catalogue.versions(path)
    }


def due(state: RunState, tried: Try) -> float | None:
    """Return by when an attempt has to know the end of the run that it starts, if ever.

    That is when it is out of time, or its step, its run, a join that counts already, or what
    waits for its run.
    """
    own = (tried.attempt, tried.step, DEADLINE)
    known = [t for n, t in state.timers.items() if n in own or n.endswith(LATE_JOIN)]
    return min([*known, *([state.due] if state.due is not None else [])], default=None)


def request(state: RunState, tried: Try, version: Version) -> Submit:
    """Return what an attempt asks for.

    Raises:
        TooDeep: there are too many runs above it already.
    """
    args: dict[str, Json] = tried.args or {}
    path = str(args["tool"]["path"])
    if state.depth >= MAX_DEPTH:
        raise TooDeep(f"{path} would be the {MAX_DEPTH + 1}th run below one another")
    return Submit(
        path, dict(args["with"]), actor=f"run {state.run}", version=state.children.get(path),
        labels=dict(version.registered.labels), system=state.system, priority=state.priority,
    )  # fmt: skip


def cancelled(attempt: str) -> Ended:
    """Return how the attempt ended whose child was cancelled."""
    told = f"run {child_id(attempt)} was cancelled"
    return Ended(attempt, "failed", Fault("cancelled", told))


def ended(attempt: str, child: RunState) -> Ended:
    """Return how the attempt ended whose child has ended."""
    if child.status == "completed":
        return Ended(attempt, "succeeded", result=child.result)
    if child.status == "cancelled":
        return cancelled(attempt)
    inner = child.fault or Fault("unknown", "")
    told = f"run {child.run} failed in {child.fault_step or 'time'}: {inner.message}"
    return Ended(attempt, "failed", Fault(inner.cls, told, inner.where))
