"""The edge: what a decision may ask of the world, answered.

Expressions are evaluated here, configurations resolved, items counted and large values
spilled to the object store. Every answer ends up in an event.
"""

from __future__ import annotations

import json
import logging
import random
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, Final

import msgspec

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.reference import JSON, is_reference
from runtime.data.store import Unavailable
from runtime.engine.catalogue import Version
from runtime.engine.retry_budgets import NO_ARM, RetryBudgets
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault
from runtime.playbook.hours import closes, opens
from runtime.playbook.kinds import KindFault, verbatim
from runtime.playbook.model import Reduce, Step
from runtime.playbook.units import duration_s
from runtime.playbook.values import ABSENT, SKIPPED
from runtime.playbook.zones import zone_of
from runtime.run.budget import Budget
from runtime.run.events import ConfigStored, Fault, Json
from runtime.run.layers import Experiment, Layers, Resolved, resolve
from runtime.run.reduce import combine
from runtime.run.results import Results
from runtime.run.route import Route, route
from runtime.run.state import Each, RunState, StepState

_LOG: Final = logging.getLogger("trimtab.engine")
MANY: Final = 10_000
"""Results up to this many are gathered as a list."""
INLINE_BYTES: Final = 64 * 1024
"""A value larger than this (as JSON) lives in the object store."""


_PATIENCE_S: Final = 3.0
"""For how long a store elsewhere may keep a decision waiting."""


class Configurations:
    """Every effective configuration that was ever stored, by hash, and those yet to be."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Json]] = {}
        self.fresh: list[ConfigStored] = []

    def keep(self, playbook: str, step: str, resolved: Resolved) -> None:
        """Remember a configuration; a new one waits in ``fresh`` to be written."""
        if resolved.config in self.known:
            return
        self.known[resolved.config] = resolved.effective
        self.fresh.append(
            ConfigStored(
                resolved.config, playbook, step, resolved.effective, list(resolved.chain),
                resolved.locked,
            )
        )  # fmt: skip

    def take(self) -> list[ConfigStored]:
        """Return the configurations to write, and forget that they wait."""
        fresh, self.fresh = self.fresh, []
        return fresh


class RunEdge:
    """Answers for the runs of one playbook version."""

    _expressions: Final = Expressions()

    def __init__(
        self, version: Version, layers: Layers, configs: Configurations, folder: DataFolder,
        clock: Callable[[], float], chance: random.Random,
        budgets: RetryBudgets | None = None,
    ) -> None:  # fmt: skip
        self._budgets = budgets if budgets is not None else RetryBudgets()
        self._version, self._layers, self._configs = version, layers, configs
        self._folder, self._clock, self._chance = folder, clock, chance
        self._path = version.registered.path
        self._place = ""

    @cached_property
    def _objects(self) -> Objects:
        return Objects(self._folder.objects, patience_s=_PATIENCE_S)

    def run_folder(self, run: str) -> str:
        """The scratch folder of this edge's run; made first when the playbook needs one."""
        if not self._place:
            place = self._folder.run(run)
            if self._version.needs_folder:
                place.mkdir(parents=True, exist_ok=True)
            self._place = str(place)
        return self._place

    def now(self) -> float:
        return self._clock()

    def chance(self) -> float:
        return self._chance.random()

    def route(self, state: RunState, step: Step, value: Json, fault: Fault | None) -> Route | None:
        plain = self._version.plain_way(step)
        if plain is not None:
            return plain if fault is None else route(step, bool, fault.cls)
        own = {step.name: _failed_value(value, fault) if fault else value}
        names = ChainMap[str, Any](own, self.names(state))
        try:
            way = route(
                step,
                lambda text: self._expressions.condition(text, names),
                fault.cls if fault else None,
            )
            if way is None or fault is not None or not step.sets:
                return way
            return Route(way.arcs, self._sets(state, step, names), way.fault)
        except ExpressionFault as error:
            return Route(fault=self.fault(step, error))
        except TypeError as error:
            return Route(fault=self.fault(step, error))

    def _sets(self, state: RunState, step: Step, names: Mapping[str, Json]) -> dict[str, Json]:
        """The context values a step sets, combined with what is there where it says so."""
        found: dict[str, Json] = {}
        for key, value in step.sets.items():
            if isinstance(value, Reduce):
                new = self._expressions.render(value.value, names)
                found[key] = combine(value.op, state.ctx.get(key), new)
            else:
                found[key] = self._expressions.render(value, names)
        return found

    def holds(self, state: RunState, step: Step, text: str, value: Json) -> bool | Fault:
        names = ChainMap[str, Any]({step.name: value}, self.names(state))
        try:
            return self._expressions.condition(text, names)
        except ExpressionFault as error:
            return self.fault(step, error)

    def render(
        self, state: RunState, step: Step, extra: dict[str, Json] | None = None
    ) -> dict[str, Json] | Fault:
        fixed = self._version.fixed_inputs(step)
        if fixed is not None:
            return fixed
        own = {"repeat": _round(state, step)}
        names = ChainMap[str, Any](own, extra or {}, self._names_for(state, step))
        tool = step.tool or {}
        try:
            kept = verbatim(str(tool["kind"])) if tool else frozenset()
            rendered = {
                key: value if key in kept else self._expressions.render(value, names)
                for key, value in tool.items()
            }
            if rendered.get("kind") == "wait":
                rendered["due"] = self._due(rendered)
            return {"tool": rendered, "with": self._expressions.render(step.args, names)}
        except (ExpressionFault, KindFault, ValueError) as error:
            return self.fault(step, error)

    def _due(self, tool: Mapping[str, Json]) -> float:
        """When a ``wait`` ends: after ``for``, or at ``until``.

        That is an ISO time with its zone, or seconds since 1970.
        """
        if "for" in tool:
            return self._clock() + _seconds(tool["for"])
        at = tool["until"]
        if isinstance(at, int | float) and not isinstance(at, bool):
            return float(at)
        until = datetime.fromisoformat(str(at))
        if until.tzinfo is None:
            raise ValueError(f"until needs a time zone: {tool['until']}")
        return until.timestamp()

    def items(self, state: RunState, step: Step) -> tuple[int, Json] | Fault:
        if step.each is None:
            raise ValueError(step.name)
        try:
            value = self._expressions.render(step.each.over, self.names(state))
        except ExpressionFault as error:
            return self.fault(step, error)
        if isinstance(value, list):
            return len(value), self._spill(value)
        if is_reference(value) and value.get("rows") is not None:
            return int(value["rows"]), value
        kind = type(value).__name__
        text = f"each.in of {step.name} gave {kind}: it must be a list or a table"
        return Fault("expression", text, where=self._where(step))

    def fold(self, state: RunState, step: Step, result: Json) -> dict[str, Json] | Fault:
        if step.each is None:
            raise ValueError(step.name)
        names = ChainMap[str, Any]({step.name: result}, self.names(state))
        try:
            return {
                name: {wanted.op: self._expressions.render(wanted.value, names)}
                for name, wanted in step.each.reduce.items()
            }
        except ExpressionFault as error:
            return self.fault(step, error)

    def gather(self, state: RunState, step: Step, each: Each) -> Json:
        counts = {
            "items": each.total,
            "batches": each.batches_done,
            "failed": each.failed_items,
            "failed_batches": each.failed_batches,
        }
        if step.each is None or not step.each.reduce:
            return counts | {"results": self._gathered(each.results)}
        wanted = step.each.reduce.items()
        found = {name: each.folded.value(name, reduce.op) for name, reduce in wanted}
        return counts | {"reduced": {name: self._kept(value) for name, value in found.items()}}

    def _kept(self, value: Json | Results) -> Json:
        """A reduced value; one that is long goes to the object store."""
        if isinstance(value, Results):
            return self._gathered(value)
        return self._spill(value) if isinstance(value, list) else value

    def _gathered(self, results: Results) -> Json:
        """The list of results, or a reference to it; a long one is never a list here."""
        if len(results) <= MANY:
            return self._spill(list(results))
        text = bytearray(b"[")
        for value in results:
            text += msgspec.json.encode(value) + b","
        text[-1:] = b"]"
        if len(text) <= INLINE_BYTES:
            return msgspec.json.decode(text)
        try:
            return self._objects.put_bytes(bytes(text), "json", JSON, len(results))
        except (OSError, Unavailable) as error:  # no room, or no store: the journal has it all
            _LOG.warning("%d results stay in the journal: %s", len(results), error)
            return msgspec.json.decode(text)

    def configure(
        self, state: RunState, step: Step, experiment: Experiment | None, arm: str | None
    ) -> Resolved:
        override = state.overrides.get(step.name)
        key = (step.name, experiment.id if experiment else None, arm)
        known = self._version.resolved(self._layers.changes)
        if override is None and key in known:
            return known[key]
        resolved = resolve(
            self._layers, self._path, step.name, defaults=self._version.defaults(step.name),
            bound=self._version.bound(step.name), experiment=experiment, arm=arm,
            override=override,
        )  # fmt: skip
        self._configs.keep(self._path, step.name, resolved)
        if override is None:
            known[key] = resolved
        return resolved

    def effective(self, config: str) -> dict[str, Json]:
        return self._configs.known[config]

    def experiment(self, state: RunState, step: Step) -> Experiment | None:
        if not self._layers.experiments or state.system or state.overrides.get(step.name):
            return None
        return self._layers.experiment(self._path, step.name, self._version.bound(step.name))

    def is_live(self, experiment: str) -> bool:
        return any(live.id == experiment for live in self._layers.experiments.values())

    def opens(self, step: Step, hours: str, at: float) -> float:
        zone = _zone(step)
        return at if zone is None else opens(hours, at, zone)

    def closes(self, step: Step, hours: str, at: float) -> float:
        zone = _zone(step)
        return at if zone is None else closes(hours, at, zone)

    def budget(self, step: Step, arm: tuple[str, str]) -> Budget:
        own = arm if self.is_live(arm[0]) else NO_ARM
        return self._budgets.of(self._path, step.name, own)

    def names(self, state: RunState) -> dict[str, Json]:
        """What an expression may refer to: inputs, context, the run, and what steps gave."""
        names: dict[str, Json] = {
            name: _value_of(step.status, step.value, step.fault) if _has_value(step) else ABSENT
            for name, step in state.steps.items()
        }
        names |= dict.fromkeys(_let_go(state), SKIPPED)
        run = {
            "id": state.run,
            "folder": str(self._folder.run(state.run)),
            "playbook": self._path,
            "version": self._version.registered.number,
        }
        return names | {"workload": state.workload, "ctx": state.ctx, "run": run}

    def _names_for(self, state: RunState, step: Step) -> dict[str, Json]:
        """What a step may refer to; a compensation of an earlier round sees that round."""
        past = state.past_for(step.name)
        if past is None:
            return self.names(state)
        then = replace(state, steps=state.steps | past.values, ctx=past.ctx)
        return self.names(then)

    def fault(self, step: Step, error: Exception) -> Fault:
        """The fault of a step whose expression could not be evaluated."""
        return Fault("expression", str(error), where=self._where(step))

    def _where(self, step: Step) -> str:
        return f"{self._path}:{step.place.line}"

    def _spill(self, value: list[Json]) -> Json:
        if len(json.dumps(value)) <= INLINE_BYTES:
            return value
        try:
            return self._objects.put_json(value) | {"rows": len(value)}
        except (OSError, Unavailable) as error:  # no room, or no store: the journal has it all
            _LOG.warning("%d results stay in the journal: %s", len(value), error)
            return value


def _zone(step: Step) -> tzinfo | None:
    """Whose clock tells a step's hours; None where this machine does not know it."""
    name = step.start.zone if step.start is not None else "UTC"
    zone = zone_of(name)
    if zone is None:
        _LOG.warning("%s begins at once: there is no time zone %s here", step.name, name)
    return zone


def _seconds(value: Json) -> float:
    seconds = float(value) if isinstance(value, int | float) else duration_s(str(value))
    if seconds is None:
        raise ValueError(f"for must be a duration like 5m, not {value!r}")
    return seconds


def _round(state: RunState, step: Step) -> dict[str, Json]:
    """What a repeated step sees of the round before."""
    known = state.rounds.get(step.name)
    return {"round": known.done if known else 0, "last": known.value if known else None}


def _let_go(state: RunState) -> list[str]:
    """Losers that are not gone yet: what they read as does not hang on how quickly they go."""
    losers = (name for join in state.marking.lost for name in state.net.losers[join])
    return [name for name in losers if state.steps[name].status in ("waiting", "active")]


def _has_value(step: StepState) -> bool:
    """Whether a step has ended, in this round of its loop or an earlier one."""
    if step.status in ("done", "failed", "skipped", "cancelled"):
        return True
    return step.times - (step.status == "active") > 0


class StepValue(dict[str, Any]):
    """A step's value that also answers ``.skipped``, without carrying it along."""

    def __contains__(self, key: object) -> bool:
        return key == "skipped" or super().__contains__(key)

    def __missing__(self, key: str) -> Any:
        if key == "skipped":
            return False
        raise KeyError(key)


def _value_of(status: str, value: Json, fault: Fault | None) -> Json:
    if status in ("skipped", "cancelled"):  # a loser reads the same however far it had come
        return SKIPPED
    if status == "failed":
        return _failed_value(value, fault)
    return StepValue(value) if isinstance(value, dict) else value


def _failed_value(value: Json, fault: Fault | None) -> Json:
    """What a step's name stands for once its failure was caught."""
    told = {"class": fault.cls, "message": fault.message} if fault else {}
    return StepValue({**(value if isinstance(value, dict) else {}), "error": told})
