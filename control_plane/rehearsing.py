"""Several knobs of a step at once, tried in the simulator: a search whose trials run nothing.

Each trial replays one recorded run under a setting and is told the median cost (the wall
time where costs are unknown) of the replays. Trials are kept in the installation's own
database, so that asking again goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from control_plane.trial_logs import TrialLogs
from control_plane.what_if import ask
from optimizer.joint import setting_of
from optimizer.search.declared import Dimension, Number, Product, settings
from optimizer.search.history import History
from optimizer.search.numeric import Numeric
from optimizer.search.search import Step
from optimizer.search.space import Space
from optimizer.seeded import seeded
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.question import HOURS, SIMULATED
from runtime.journal.port import JournalReader
from runtime.run.layers import digest

Json: TypeAlias = Any
Row: TypeAlias = dict[str, Json]

SHARED: Final = ("each.batch", "each.in_flight")
"""Knobs that multiply to what is in memory at once."""
REACH: Final = 8
"""An open end of a knob is so many times its stable value."""
LEAST: Final = 1e-12
WORSE: Final = math.log(2.0)
"""A setting of which nothing can be said counts as twice the worst of the others."""


def latest(journal: JournalReader, playbook: str) -> str | None:
    """Return the latest completed run of a playbook, if any."""
    rows = journal.runs(state="completed", playbook=playbook, system=None, limit=1)
    return rows[0].run if rows else None


class Joint:
    """One run of a playbook and one step of it, whose knobs are moved together."""

    def __init__(
        self, journal: JournalReader, kept: Path, scope: Mapping[str, Json], run: str,
        slots: int | None, most: int | None, seed: int,
    ) -> None:  # fmt: skip
        self.run = run
        self._journal, self._kept, self._scope = journal, kept, scope
        self._slots, self._most, self._seed = slots, most, seed

    def tried(self, values: Mapping[str, Json]) -> Row:
        """Return what the run would have taken under some values of the step's knobs."""
        changes = {str(self._scope["step"]): dict(values)}
        rng = seeded(self._seed)
        return _row(values, ask(self._journal, self.run, changes, rng, slots=self._slots))

    def search(self, trials: int, progress: Callable[[int, int], None]) -> list[Row]:
        """Return the settings tried, the best first; the stable one is among them.

        The hours that are declared follow, each by itself and not among ``trials``.
        """
        space = self._space()
        found = [] if space is None else self._together(space, trials, progress)
        return found + sorted((self.tried({HOURS: one}) for one in self._hours()), key=_order)

    def _together(
        self, space: Space, trials: int, progress: Callable[[int, int], None]
    ) -> list[Row]:
        logs = TrialLogs(self._kept)
        try:
            return self._searched(space, logs, min(trials, len(space)), progress)
        finally:
            logs.close()

    def _searched(
        self, space: Space, logs: TrialLogs, trials: int, progress: Callable[[int, int], None]
    ) -> list[Row]:
        none = History.of([], [], len(space))
        name = digest([self._scope["step"], self.run, list(space.names), self._seed])
        search = Numeric(space, none, trials, logs.of(name), seed=self._seed)
        rows = {setting: self.tried(setting_of(space, setting)) for setting in search.tried}
        while len(rows) < trials:
            progress(len(rows), trials)
            step = search.next() if search.tried else Step(0, worthwhile=True)
            if step is None:
                break  # its pool holds fewer settings than the space
            setting = step.setting
            rows[setting] = self.tried(setting_of(space, setting))
            told = rows[setting]["log_outcome"]
            worst = max(search.outcomes, default=0.0) + WORSE
            search.tell(setting, worst if told is None else told, failed=told is None)
        progress(trials, trials)
        return sorted(rows.values(), key=_order)

    def _hours(self) -> list[str]:
        """The hours of the day that are declared; each is tried by itself."""
        mine = (tune for tune in self._scope["tune"] if tune["name"] == HOURS)
        return [str(one) for tune in mine for one in tune.get("choices") or ()]

    def _space(self) -> Space | None:
        """The declared values of the knobs that are simulated, the stable setting first."""
        values = {**self._scope.get("defaults", {}), **(self._scope.get("stable") or {})}
        knobs: dict[str, Dimension] = {
            str(tune["name"]): _dimension(tune, int(values[tune["name"]]))
            for tune in self._scope["tune"]
            if tune["name"] in SIMULATED
        }
        if not knobs:
            return None
        bounds: tuple[Product, ...] = ()
        if self._most is not None and set(SHARED) <= set(knobs):
            bounds = (Product(SHARED, at_most=self._most),)
        stable = {name: int(values[name]) for name in knobs}
        return settings(knobs, bounds, known=[stable])


def _dimension(tune: Mapping[str, Json], stable: int) -> Number:
    low, high = tune.get("min"), tune.get("max")
    return Number(
        1 if low is None else int(low), REACH * stable if high is None else int(high), log=True
    )


def _row(values: Mapping[str, Json], found: Estimate | CannotSay) -> Row:
    setting = ", ".join(f"{name} {value}" for name, value in values.items())
    row: Row = {
        "setting": setting, "values": dict(values), "makespan_delta": None, "cost_delta": None,
        "failed": None, "cannot_say": "", "log_outcome": None,
    }  # fmt: skip
    if isinstance(found, CannotSay):
        return {**row, "cannot_say": found.text}
    told = found.to_json()
    band = told["cost_usd"] or told["makespan_s"]
    return {
        **row, "makespan_delta": told["makespan_delta"], "cost_delta": told["cost_delta"],
        "failed": told["items_failed"]["median"],
        "log_outcome": math.log(max(band["median"], LEAST)),
    }  # fmt: skip


def _order(row: Row) -> float:
    return math.inf if row["log_outcome"] is None else float(row["log_outcome"])
