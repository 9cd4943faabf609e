"""A draft: what was read of a playbook, faults and all, for the lint to look over whole.

A step that could only half be read still has its name and its arcs here, so that one
fault does not bring a dozen others with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from runtime.playbook.faults import PlaybookFault
from runtime.playbook.model import Arc, Input, Join, Step
from runtime.playbook.part import Part

Slot: TypeAlias = Literal[
    "tool", "with", "in", "when", "set", "until", "due", "compensate", "alternative", "reduce"
]
"""Where a text with expressions stands; it decides which names it may use."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A text with expressions. ``bare`` texts are one expression without braces."""

    part: Part
    text: str
    slot: Slot

    @property
    def bare(self) -> bool:
        return self.slot in ("when", "until", "due")


@dataclass(slots=True)
class StepDraft:
    """A step as far as it could be read. ``named`` is false when it has no name of its own."""

    name: str
    part: Part
    name_part: Part
    named: bool = True
    arcs: list[tuple[Arc, Part]] = field(default_factory=list)
    arcs_lost: bool = False
    sets: dict[str, Part] = field(default_factory=dict)
    reducers: dict[str, str] = field(default_factory=dict)
    """The reducer of each key of ``set`` that names one."""
    mentions: list[Mention] = field(default_factory=list)
    step: Step | None = None
    is_each: bool = False
    is_repeat: bool = False
    is_undone: bool = False
    is_last: bool = False
    """Whether it repeats, has a compensation, or is a step of ``finally``."""
    split: str = "all"
    join: Join = field(default_factory=Join)
    takeover: Part | None = None
    """The step that takes over when the join is late."""


@dataclass(slots=True)
class Draft:
    """A playbook as far as it could be read."""

    faults: list[PlaybookFault]
    inputs: list[Input] = field(default_factory=list)
    inputs_lost: bool = False
    secrets: list[str] = field(default_factory=list)
    steps: list[StepDraft] = field(default_factory=list)
    last: list[StepDraft] = field(default_factory=list)
    """The steps of ``finally``."""
    path: str = ""
