"""Baselines from Optuna. What it suggests is taken to the nearest setting not yet tried."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.table import Table
from optimizer.search.history import History

Array: TypeAlias = NDArray[Any]
Trials: TypeAlias = Generator[int, float, None]


def tpe(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Tree-structured Parzen estimators, multivariate, five random trials first."""
    import optuna

    seed = int(rng.integers(1 << 30))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "multivariate is experimental"
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True)
    yield from _asked(table, rng, sampler)


def gaussian_process(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Optuna's Gaussian process, three random trials first. Needs torch."""
    import optuna

    seed = int(rng.integers(1 << 30))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=3, deterministic_objective=True
        )
    yield from _asked(table, rng, sampler)


def _asked(table: Table, rng: np.random.Generator, sampler: Any) -> Trials:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    values, ranges = _ranges(table)
    left = list(range(len(table.space)))
    while left:
        trial = study.ask(ranges)
        far = np.zeros(len(left))
        for name, column in values.items():
            far += _apart(column[left], trial.params[name], ranges[name])
        setting = left[int(np.argmin(far + 1e-9 * rng.random(len(left))))]
        left.remove(setting)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)  # it was another that ran
        outcome = yield setting
        params = {name: column[setting] for name, column in values.items()}
        study.add_trial(optuna.trial.create_trial(
            params={k: v if isinstance(v, str) else float(v) for k, v in params.items()},
            distributions=ranges, value=float(outcome),
        ))  # fmt: skip


def _ranges(table: Table) -> tuple[dict[str, Array], dict[str, Any]]:
    """Each column that varies, and the range Optuna may ask of it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values: dict[str, Array] = {}
    ranges: dict[str, Any] = {}
    for name, column in table.space.columns.items():
        words = column.kind == "category"
        held = np.asarray([str(v) for v in column.values], object) if words else column.numbers
        known = sorted(set(held.tolist()))
        if len(known) < 2:
            continue
        values[name] = held
        ranges[name] = (
            CategoricalDistribution(known) if words else FloatDistribution(known[0], known[-1])
        )
    return values, ranges


def _apart(held: Array, asked: Any, over: Any) -> Array:
    if isinstance(asked, str):
        return np.asarray(held != asked, float)
    return np.asarray(((held - asked) / (over.high - over.low)) ** 2, float)
