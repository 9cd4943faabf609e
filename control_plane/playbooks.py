"""Playbooks as they are read: what is registered, and what each step runs with today.

A view of the catalogue and the layers: a step's own values, what was approved over them,
what is being tried, and what was suspended because the author changed the step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from runtime.data.folder import DataFolder
from runtime.engine.catalogue import Catalogue, Version
from runtime.journal.port import JournalReader, in_order
from runtime.playbook.model import Input, Knob, Step
from runtime.run.events import Json, LayerEvent, PlaybookRegistered
from runtime.run.layers import Layers


@dataclass(frozen=True, slots=True)
class PlaybookLine:
    """A playbook in a list: its newest version."""

    path: str
    version: str
    number: int
    description: str
    labels: dict[str, str]
    steps: int
    actor: str
    unreadable: str = ""
    """Why this installation cannot read it, when it cannot."""


@dataclass(frozen=True, slots=True)
class StepCard:
    """A step with its knobs: the author's values, the approved ones, those in force."""

    name: str
    tool: str
    tune: list[Knob]
    defaults: dict[str, Json]
    stable: dict[str, Json]
    effective: dict[str, Json]
    suspended: list[str]
    experiment: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    killed: bool = False
    bound: str = ""
    slo: dict[str, float] = field(default_factory=dict)
    """What the step is meant to keep: `p95_s`, `success`."""


@dataclass(frozen=True, slots=True)
class PlaybookView:
    """One version of a playbook."""

    path: str
    version: str
    number: int
    description: str
    labels: dict[str, str]
    actor: str
    objective: str
    inputs: list[Input]
    steps: list[StepCard]
    versions: list[int]
    source: str
    files: dict[str, str]


class Playbooks:
    """Reads playbooks out of a catalogue and the layers over it."""

    def __init__(self, catalogue: Catalogue, layers: Layers) -> None:
        self._catalogue, self._layers = catalogue, layers

    def page(self) -> list[PlaybookLine]:
        """Return the newest version of every playbook, by path."""
        return [line(self._catalogue.latest(path)) for path in self._catalogue.paths()]

    def get(self, path: str, version: str | None = None) -> PlaybookView:
        """Return a version of a playbook (by hash or number), or the newest.

        Raises:
            UnknownPlaybook: there is none.
        """
        found = self._catalogue.get(path, version)
        told, playbook = found.registered, found.playbook
        numbers = [v.registered.number for v in self._catalogue.versions(path)]
        return PlaybookView(
            told.path, told.version, told.number, told.description, told.labels, told.actor,
            playbook.objective, list(playbook.inputs),
            [self._card(found, step) for step in playbook.steps], numbers, told.source,
            told.files,
        )  # fmt: skip

    def _card(self, version: Version, step: Step) -> StepCard:
        path, bound = version.registered.path, version.bound(step.name)
        defaults = version.defaults(step.name)
        killed = self._layers.is_killed(path, step.name)
        stable = {} if killed else self._layers.stable(path, step.name, bound)
        live = self._layers.experiment(path, step.name, bound)
        return StepCard(
            step.name, str(step.tool["kind"]) if step.tool else "", list(step.tune), defaults,
            stable, {**defaults, **stable}, self._layers.suspended(path, step.name, bound),
            live.id if live else "", dict(live.shares) if live else {}, killed, bound,
            {name: value for name, value in asdict(step.slo).items() if value is not None},
        )  # fmt: skip


def line(version: Version) -> PlaybookLine:
    """Return a version as it stands in a list."""
    told, why = version.registered, version.unreadable
    steps = 0 if why else len(version.playbook.steps)
    return PlaybookLine(
        told.path, told.version, told.number, told.description, told.labels, steps, told.actor,
        why,
    )  # fmt: skip


def folded(folder: DataFolder, journal: JournalReader) -> tuple[Catalogue, Layers]:
    """Return catalogue and layers as a journal holds them, without an engine."""
    catalogue, layers = Catalogue(folder), Layers()
    for recorded in in_order(journal, "playbook/", "overlay/", "experiment/", "kill"):
        if isinstance(recorded.event, PlaybookRegistered):
            catalogue.add(recorded.event)
        elif isinstance(recorded.event, LayerEvent):
            layers.evolve(recorded.event)
    return catalogue, layers
