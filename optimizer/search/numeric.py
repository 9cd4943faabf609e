"""A search over a large space of several knobs: Optuna asks and remembers, the mixture judges.

A space of thousands of settings is too large to hold a belief of each. So every trial is
chosen from a pool: what was best for other steps, what lies near the best trials, what
Optuna's estimators (TPE, warm-started with the trials of other steps) would ask, and a few
at random. The pool is a small space, and `Search` decides in it as in any other, when to
stop too. The trials are an Optuna study kept in a log that is handed in, so that a search
survives a restart; the same log and seed give the same next trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.carried import carried
from optimizer.search.history import History, centred
from optimizer.search.search import Search, Step, best_of, broken
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]
Entry: TypeAlias = dict[str, Any]

LARGE: Final = 640
"""A space of more settings is searched here."""
POOL: Final = 192
"""Settings that one trial is chosen from."""
LEADERS: Final = 96
"""How many of them were best for other steps."""
CENTRES: Final = 3
NEAR: Final = 4
"""How many neighbours of each of the best trials are among them."""
DRAWN: Final = 6
"""How many Optuna is asked for."""
FIRST: Final = 4
"""Trials before Optuna has anything to say."""
PAST_STEPS: Final = 8
PAST: Final = 24
"""Trials of one other step that Optuna is told of."""
_FEWEST: Final = 3


class Log(Protocol):
    """Where a search is kept: entries in the order they came, none ever changed."""

    def read(self, since: int) -> Sequence[Entry]:
        """Return the entries from the one numbered ``since`` (the first is 0)."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries, all or none."""
        ...


@dataclass(slots=True)
class Remembered:
    """A log in memory."""

    entries: list[Entry] = field(default_factory=list)

    def read(self, since: int) -> Sequence[Entry]:
        """Return the entries from one on."""
        return self.entries[since:]

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries."""
        self.entries.extend(entries)


@dataclass(slots=True)
class Numeric:
    """Ask for a setting, tell its outcome; the same verbs as `Search`."""

    space: Space
    history: History
    horizon: int = 50
    log: Log = field(default_factory=Remembered)
    name: str = "search"
    seed: int = 0
    tried: list[int] = field(default_factory=list)
    outcomes: list[float] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    over: list[float] = field(default_factory=list)
    _study: Any = field(init=False)
    _ranges: dict[str, Any] = field(init=False)
    _levels: Array = field(init=False)
    _order: Array = field(init=False)
    _pool: list[int] = field(default_factory=list)
    _pooled: int = 0
    _kept: int = -1
    _held: Search | None = None

    def __post_init__(self) -> None:
        self._levels = _levels(self.history)
        self._order = np.random.default_rng(self.seed).permutation(len(self.space))
        self._ranges = dict(_ranges(self.space))
        self._study = _study(self.log, self.name)
        if not self._study.get_trials(deepcopy=False):
            self._warm_start()
        for trial in self._own():
            if trial.state.is_finished():
                self._heard(trial.user_attrs)
            if "pool" in trial.user_attrs:
                self._pooled, self._pool = trial.user_attrs["pool"]
                self._kept = self._pooled

    @property
    def best(self) -> int:
        """The best setting tried so far."""
        return self.tried[best_of(self.outcomes, self.failed, self.over)]

    def ask(self) -> int | None:
        """Return the setting to try next, or None when another trial is not worth it.

        What was asked and not told, before a restart too, is asked again.
        """
        for trial in self._own():
            if not trial.state.is_finished():
                return int(trial.user_attrs["setting"])
        step = self.next()
        if step is None or not step.worthwhile:
            return None
        self._study.enqueue_trial(
            self._params(step.setting), {"setting": step.setting, **self._made()}
        )
        self._study.ask(self._ranges)
        return step.setting

    def tell(
        self, setting: int, log_outcome: float, *, failed: bool = False, over: float = -np.inf
    ) -> None:
        """A setting was tried: see `Search.tell`.

        Optuna cannot be told nothing: what failed has an outcome worse than the others.
        """
        told = {"setting": setting, "outcome": float(log_outcome), "failed": failed}
        told |= self._made()
        if np.isfinite(over):
            told["over"] = float(over)
        value = log_outcome - self._level(setting, log_outcome)
        self._heard(told)
        bad = failed or over > 0.0
        for trial in self._own():
            if not trial.state.is_finished() and trial.user_attrs["setting"] == setting:
                self._finish(trial.number, told, value, bad)
                return
        self._add(setting, value, bad, told)

    def _heard(self, told: Mapping[str, Any]) -> None:
        self.tried.append(told["setting"])
        self.outcomes.append(told["outcome"])
        self.failed.append(bool(told.get("failed", False)))
        self.over.append(float(told.get("over", -np.inf)))

    def next(self) -> Step | None:
        """Return the best next trial, worth its price or not; None when all was tried."""
        if len(self.tried) >= min(self.horizon, len(self.space)):
            return None
        search = self._searched()
        step = search.next()
        return None if step is None else replace(step, setting=self._pool[step.setting])

    # -- the pool

    def _searched(self) -> Search:
        """The search in the pool, which is made anew when the trials have doubled."""
        grown = len(self.tried) >= max(1, 2 * self._pooled)
        if not self._pool or grown or not set(self.tried) <= set(self._pool):
            self._pool = list(dict.fromkeys(self._candidates()))[:POOL]
            self._pooled, self._held = len(self.tried), None
        if self._held is None:
            pool = np.asarray(self._pool)
            part = _part(self.space, pool)
            heard = carried(part, _part_of(self.history, pool))
            self._held = Search(part, heard, self.horizon)
        for trial in range(len(self._held.tried), len(self.tried)):
            self._held.tell(
                self._pool.index(self.tried[trial]), self.outcomes[trial],
                failed=self.failed[trial], over=self.over[trial],
            )  # fmt: skip
        return self._held

    def _made(self) -> Entry:
        """After how many trials the pool was made, and the pool, where it is not in the log."""
        if self._kept == self._pooled or not self._pool:
            return {}
        self._kept = self._pooled
        return {"pool": [self._pooled, self._pool]}

    def _candidates(self) -> Iterator[int]:
        yield from self.tried
        if not self.tried and not len(self.history):
            yield int(np.argmin(_apart(self.space.features, self.space.features.mean(axis=0))))
        yield from self._drawn()
        yield from self._near()
        known = np.flatnonzero(np.isfinite(self._levels))
        leaders = known[np.argsort(self._levels[known], kind="stable")]
        yield from leaders[:LEADERS].tolist()
        yield from self._order.tolist()

    def _near(self) -> Iterator[int]:
        """Neighbours of the best trials."""
        features = self.space.features
        for index in np.lexsort((np.asarray(self.outcomes), broken(self.failed, self.over)))[
            :CENTRES
        ]:
            apart = _apart(features, features[self.tried[int(index)]])
            yield from np.argsort(apart, kind="stable")[1 : NEAR + 1].tolist()

    def _drawn(self) -> Iterator[int]:
        """What Optuna would ask, taken to the nearest setting of the space."""
        if len(self.tried) < FIRST:
            return
        sampler = _sampler(self.seed + len(self.tried))
        trial = self._study.get_trials(deepcopy=False)[-1]
        for _ in range(DRAWN):
            asked = sampler.sample_relative(self._study, trial, self._ranges)
            if asked:
                yield self._nearest(asked)

    def _nearest(self, asked: Mapping[str, Any]) -> int:
        far = np.zeros(len(self.space))
        for name, value in asked.items():
            held, over = self.space.columns[name], self._ranges[name]
            if held.kind == "category":
                far += np.asarray([str(v) != value for v in held.values], float)
            else:
                far += ((held.numbers - value) / (over.high - over.low)) ** 2
        far[self.tried] = np.inf
        return int(np.argmin(far))

    # -- the study

    def _own(self) -> list[Any]:
        """The trials of this step, in the order they were asked."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if "setting" in trial.user_attrs]

    def _warm_start(self) -> None:
        """Tell Optuna the best trials of other steps, and some of their others."""
        distances = _distances(self.history)
        for row in distances[:PAST_STEPS]:
            known = np.flatnonzero(np.isfinite(row))
            ranked = known[np.argsort(row[known], kind="stable")]
            half = PAST // 2
            spread = ranked[half:][:: max(1, (len(ranked) - half) // half)]
            for setting in [*ranked[:half], *spread[:half]]:
                self._add(int(setting), float(row[setting]), False, {})

    def _add(self, setting: int, value: float, failed: bool, told: Entry) -> None:
        import optuna

        self._study.add_trial(optuna.trial.create_trial(
            params=self._params(setting), distributions=self._ranges, value=float(value),
            user_attrs=told, constraints={"failed": 1.0 if failed else 0.0},
        ))  # fmt: skip

    def _finish(self, number: int, told: Entry, value: float, failed: bool) -> None:
        import optuna

        trial = optuna.trial.Trial(self._study, self._study.trials[number]._trial_id)
        for name, value_told in told.items():
            trial.set_user_attr(name, value_told)
        trial.set_constraint("failed", 1.0 if failed else 0.0)
        self._study.tell(number, float(value))

    def _params(self, setting: int) -> dict[str, Any]:
        return {name: _held(self.space.columns[name], setting) for name in self._ranges}

    def _level(self, setting: int, outcome: float) -> float:
        """What this step's outcomes are above the history's, by its first trial."""
        first, told = (
            (self.tried[0], self.outcomes[0]) if self.tried else (setting, float(outcome))
        )
        expected = self._levels[first]
        return told - (float(expected) if np.isfinite(expected) else 0.0)


def shipped(space: Space, history: History, horizon: int) -> Search | Numeric:
    """Return the search that a space of this size gets."""
    if len(space) > LARGE:
        return Numeric(space, history, horizon)
    return Search(space, carried(space, history), horizon)


def _levels(history: History) -> Array:
    """The expected distance from the best by setting; NaN where nobody was."""
    if not len(history):
        return np.full(history.rows.shape[1], np.nan)
    rows = _distances(history)
    _, levels = centred(rows)
    seen = np.isfinite(rows).any(axis=0)
    return np.where(seen, levels - levels[seen].min(), np.nan)


def _distances(history: History) -> Array:
    """The distances from the best of those steps that have any."""
    known = history.of_steps(np.isfinite(history.rows).sum(axis=1) > 0)
    return known.warped() if len(known) else known.rows


def _part(space: Space, pool: Array) -> Space:
    """The space of some settings, as far apart as they are in the whole."""
    columns = {
        name: Column(column.kind, tuple(column.values[i] for i in pool))
        for name, column in space.columns.items()
    }
    return Space(tuple(space.names[i] for i in pool), columns, space.features[pool])


def _part_of(history: History, pool: Array) -> History:
    """What the history says of some settings; steps that know hardly any are left out."""
    part = history.of_settings(pool)
    known = part.rows if part.failed is None else part.failed
    return part.of_steps(np.isfinite(known).sum(axis=1) >= _FEWEST)


def _apart(features: Array, point: Array) -> Array:
    return np.asarray(((features - point) ** 2).sum(axis=1))


def _held(column: Column, setting: int) -> Any:
    if column.kind == "category":
        return str(column.values[setting])
    return float(column.numbers[setting])


def _ranges(space: Space) -> Iterator[tuple[str, Any]]:
    """Each column that varies, with the range Optuna may ask of it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    for name, column in space.columns.items():
        if column.kind == "category":
            words = sorted({str(value) for value in column.values})
            if len(words) > 1:
                yield name, CategoricalDistribution(words)
        elif np.ptp(column.numbers) > 0.0:
            yield name, FloatDistribution(column.numbers.min(), column.numbers.max())


def _sampler(seed: int) -> Any:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "multivariate is experimental"
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=1, multivariate=True, constant_liar=False
        )


def _study(log: Log, name: str) -> Any:
    """The study of that name in the log, made when it is not there."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class Backend(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Sequence[Entry]:
            return log.read(log_number_from)

        def append_logs(self, logs: list[Entry]) -> None:
            log.append(logs)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "the journal storage is experimental"
        storage = JournalStorage(Backend())
        return optuna.create_study(
            storage=storage, study_name=name, sampler=_sampler(0), load_if_exists=True
        )
