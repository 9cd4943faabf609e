"""Route: which arcs a step's tokens leave by.

Conditions are judged by a function that is handed in, so that nothing here knows a
template engine. What was decided is recorded; replay never asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.playbook.model import Step
from runtime.run.events import Fault, Json


@dataclass(frozen=True, slots=True)
class Route:
    """The targets taken and the context values set, or why there are none.

    With a fault and targets, a failure to find a way on was caught.
    """

    arcs: list[str] = field(default_factory=list)
    sets: dict[str, Json] = field(default_factory=dict)
    fault: Fault | None = None


def route(step: Step, holds: Callable[[str], bool], failed: str | None = None) -> Route | None:
    """Return where the tokens go; ``failed`` is the class of a final failure.

    None means that no arc catches the failure. A step with conditions of which none
    holds, and no ``otherwise``, is a fault of class ``no_route``.
    """
    if failed is not None:
        caught = [arc.to for arc in step.arcs if failed in arc.on]
        return Route(caught) if caught else None
    arcs = [arc for arc in step.arcs if not arc.on]
    conditional = [arc for arc in arcs if arc.when is not None]
    if not conditional:
        return Route([arc.to for arc in arcs])
    matched = [arc.to for arc in conditional if holds(arc.when or "")]
    if matched:
        return Route(matched if step.split == "inclusive" else matched[:1])
    otherwise = [arc.to for arc in arcs if arc.otherwise]
    if otherwise:
        return Route(otherwise)
    tried = "; ".join(arc.when or "" for arc in conditional)
    return Route(fault=Fault("no_route", f"no arc of {step.name} matched: {tried}"))
