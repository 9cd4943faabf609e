"""Layers: what an effective value of a knob is made of, and the one function that resolves it.

``playbook default < overlay (stable) < experiment arm < run override``; a kill switch
drops overlay and arm. Overlays, experiments and the kill mask are folds of their own
streams; this module holds their values and the fold. Resolution happens once, in the
server, when a step fires; what came out is stored and never resolved again.

>>> layers = Layers()
>>> resolved = resolve(layers, "p", "s", defaults={"each.batch": 25}, bound="h")
>>> resolved.effective, [layer["layer"] for layer in resolved.chain]
({'each.batch': 25}, ['default'])
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.run.events import (
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    Json,
    KillSet,
    LayerEvent,
    OverlayAppended,
)

CONTROL: Final = "control"


@dataclass(slots=True)
class Entry:
    """The stable value of one knob, bound to the code it was approved for."""

    value: Json
    bound: str
    proposal: str


@dataclass(slots=True)
class Experiment:
    """A live experiment: its start, and what has changed since."""

    started: ExperimentStarted
    stage: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    paused: bool = False

    @property
    def id(self) -> str:
        """The experiment's id."""
        return self.started.experiment


@dataclass(slots=True)
class Layers:
    """All overlays, live experiments and kill switches of an installation."""

    overlays: dict[tuple[str, str], dict[str, Entry]] = field(default_factory=dict)
    experiments: dict[tuple[str, str], Experiment] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    changes: int = 0
    """How often they have changed: what was resolved holds while it stays."""

    def evolve(self, event: LayerEvent) -> None:
        """Take one event of an overlay, experiment or kill stream into account."""
        self.changes += 1
        match event:
            case OverlayAppended():
                entries = self.overlays.setdefault((event.playbook, event.step), {})
                for knob, value in event.knobs.items():
                    if value is None:
                        entries.pop(knob, None)
                    else:
                        entries[knob] = Entry(value, event.bound, event.proposal)
            case ExperimentStarted():
                live = Experiment(event, shares=dict(event.shares))
                self.experiments[(event.playbook, event.step)] = live
            case ExperimentEnded():
                for scope, live in list(self.experiments.items()):
                    if live.id == event.experiment:
                        del self.experiments[scope]
            case KillSet():
                (self.killed.add if event.on else self.killed.discard)(event.scope)
            case ExperimentRamped() | ExperimentPaused() | ExperimentResumed():
                self._adjust(event)

    def _adjust(self, event: ExperimentRamped | ExperimentPaused | ExperimentResumed) -> None:
        for live in self.experiments.values():
            if live.id != event.experiment:
                continue
            if isinstance(event, ExperimentRamped):
                live.stage, live.shares = event.stage, dict(event.shares)
            else:
                live.paused = isinstance(event, ExperimentPaused)

    def is_killed(self, playbook: str, step: str) -> bool:
        """Whether a kill switch covers this step."""
        return not self.killed.isdisjoint({"*", playbook, f"{playbook}#{step}"})

    def stable(self, playbook: str, step: str, bound: str) -> dict[str, Json]:
        """The overlay's values in force: those bound to the step as it is now."""
        entries = self.overlays.get((playbook, step), {})
        return {knob: e.value for knob, e in entries.items() if e.bound == bound}

    def suspended(self, playbook: str, step: str, bound: str) -> list[str]:
        """Knobs whose overlay entry was approved for other code than today's."""
        entries = self.overlays.get((playbook, step), {})
        return sorted(knob for knob, e in entries.items() if e.bound != bound)

    def experiment(self, playbook: str, step: str, bound: str) -> Experiment | None:
        """The live experiment that may draw units of this step, or None."""
        live = self.experiments.get((playbook, step))
        if live is None or live.paused or live.started.bound != bound:
            return None
        return None if self.is_killed(playbook, step) else live


@dataclass(frozen=True, slots=True)
class Resolved:
    """An effective configuration with the chain of layers it came from."""

    config: str
    effective: dict[str, Json]
    chain: list[dict[str, Json]]
    locked: bool


def resolve(
    layers: Layers,
    playbook: str,
    step: str,
    *,
    defaults: Mapping[str, Json],
    bound: str,
    experiment: Experiment | None = None,
    arm: str | None = None,
    override: Mapping[str, Json] | None = None,
) -> Resolved:
    """Return the values a step runs with: per knob, the last layer that names it wins.

    ``bound`` is the step's hash (see `step_bound`); ``arm`` counts only with its
    ``experiment``. Deterministic: the same layers give the same hash.
    """
    chain: list[dict[str, Json]] = [_layer("default", "playbook", defaults)]
    if not layers.is_killed(playbook, step):
        stable = layers.stable(playbook, step, bound)
        if stable:
            sources = {e.proposal for e in layers.overlays[(playbook, step)].values()}
            chain.append(_layer("overlay", ",".join(sorted(sources)), stable))
        if experiment is not None and arm not in (None, CONTROL):
            values = experiment.started.arms[str(arm)]
            chain.append(_layer("arm", f"{experiment.id}:{arm}", values))
    if override:
        chain.append(_layer("override", "run", override))
    effective: dict[str, Json] = {}
    for layer in chain:
        effective.update(layer["values"])
    config = digest({"playbook": playbook, "step": step, "bound": bound, "chain": chain})
    return Resolved(config, effective, chain, locked=bool(override))


def _layer(name: str, source: str, values: Mapping[str, Json]) -> dict[str, Json]:
    return {"layer": name, "source": source, "values": dict(values)}


def draw(experiment: Experiment, unit: str) -> tuple[str, float]:
    """Return the arm of a unit and the probability with which it was drawn.

    The salted hash of the unit's id is spread over [0, 1); arms take their shares from 0
    upwards, the control the rest. With one candidate its thresholds nest, so that a unit
    stays candidate when the share grows.

    >>> started = ExperimentStarted(
    ...     "e",
    ...     "p",
    ...     "pb",
    ...     "s",
    ...     "batch",
    ...     "blocks",
    ...     {},
    ...     {"candidate": {}},
    ...     {"candidate": 0.5},
    ...     salt="x",
    ...     bound="h",
    ...     block_items=50,
    ... )
    >>> live = Experiment(started, shares={"candidate": 0.5})
    >>> {draw(live, str(i))[0] for i in range(20)} == {"candidate", "control"}
    True
    """
    raw = hashlib.sha256(f"{experiment.started.salt}|{unit}".encode()).digest()
    u = int.from_bytes(raw[:8], "big") / 2**64
    low = 0.0
    for arm, share in experiment.shares.items():
        low += share
        if u < low:
            return arm, share
    return CONTROL, 1.0 - low


def digest(value: Any) -> str:
    """Return the hash of a JSON value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
