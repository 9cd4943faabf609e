"""The facts of layers: overlays, experiments and the kill switch."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from runtime.run.facts.fact import Fact, Json


class OverlayAppended(Fact, frozen=True):
    """Approved knob values of one step became the stable ones, or were set back.

    ``bound`` is the hash of the step's tool, code and knob declaration: when the author
    changes those the entry is suspended. ``previous`` holds what the same keys were
    before (None: not set). A value of None in ``knobs`` removes the key.
    """

    TYPE: ClassVar[str] = "overlay.appended"
    VERSION: ClassVar[int] = 1
    playbook: str
    step: str
    knobs: dict[str, Json]
    previous: dict[str, Json]
    bound: str
    proposal: str
    author: str
    approver: str
    reason: str = ""


class ExperimentStarted(Fact, frozen=True):
    """A share of a step's work is tried with other knob values, beside a control.

    ``arms`` maps an arm's name (``candidate`` or ``candidate.1``…) to its knob values; the
    ``control`` arm has the stable ones in ``base``. ``design`` is ``blocks``,
    ``switchback`` or ``run``. ``shares`` maps arm to share of the blocks, the rest is
    control. ``block_items`` is the number of items of a block. ``salt`` is random.
    ``bound`` is as in `OverlayAppended`. ``plan`` holds the frozen statistical settings.
    """

    TYPE: ClassVar[str] = "experiment.started"
    VERSION: ClassVar[int] = 1
    experiment: str
    proposal: str
    playbook: str
    step: str
    knob_class: str
    design: str
    base: dict[str, Json]
    arms: dict[str, dict[str, Json]]
    shares: dict[str, float]
    salt: str
    bound: str
    block_items: int
    plan: dict[str, Json] = field(default_factory=dict)


class ExperimentRamped(Fact, frozen=True):
    """The experiment entered its next stage, with new shares."""

    TYPE: ClassVar[str] = "experiment.ramped"
    VERSION: ClassVar[int] = 1
    experiment: str
    stage: int
    shares: dict[str, float]


class ExperimentPaused(Fact, frozen=True):
    """No new unit is drawn to a candidate until it is resumed."""

    TYPE: ClassVar[str] = "experiment.paused"
    VERSION: ClassVar[int] = 1
    experiment: str
    actor: str
    reason: str = ""


class ExperimentResumed(Fact, frozen=True):
    """Units are drawn again."""

    TYPE: ClassVar[str] = "experiment.resumed"
    VERSION: ClassVar[int] = 1
    experiment: str
    actor: str


class ExperimentEnded(Fact, frozen=True):
    """The experiment is over; everything new runs the stable configuration."""

    TYPE: ClassVar[str] = "experiment.ended"
    VERSION: ClassVar[int] = 1
    experiment: str
    reason: str


class KillSet(Fact, frozen=True):
    """The kill switch was set or released. ``scope`` is ``*``, a playbook or playbook#step."""

    TYPE: ClassVar[str] = "kill.set"
    VERSION: ClassVar[int] = 1
    scope: str
    on: bool
    actor: str
    reason: str = ""
