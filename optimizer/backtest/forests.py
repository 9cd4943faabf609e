"""Baselines from scikit-learn: Gaussian process and trees, three random trials first."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.table import Table
from optimizer.search.history import History

Array: TypeAlias = NDArray[Any]
Trials: TypeAlias = Generator[int, float, None]

FIRST: Final = 3
"""Random trials before the model is asked."""
TREES: Final = 30


def gaussian_process(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Matérn 5/2 and expected improvement (CherryPick: Alipourfard et al., NSDI 2017)."""

    def score(tried: list[int], told: Array, left: Array) -> Array:
        from scipy.stats import norm

        scaled = (told - told.mean()) / (told.std() + 1e-9)
        model = _process().fit(table.space.features[tried], scaled)
        mean, spread = model.predict(table.space.features[left], return_std=True)
        spread = np.maximum(spread, 1e-9)
        z = (scaled.min() - mean) / spread
        return np.asarray((scaled.min() - mean) * norm.cdf(z) + spread * norm.pdf(z))

    yield from _modelled(table, rng, score)


def extra_trees(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Extremely randomised trees and their lower confidence bound."""

    def score(tried: list[int], told: Array, left: Array) -> Array:
        from sklearn.ensemble import ExtraTreesRegressor

        forest = ExtraTreesRegressor(TREES, random_state=int(rng.integers(1 << 30)))
        forest.fit(table.space.features[tried], told)
        inputs = table.space.features[left].astype(np.float32)
        each = np.stack([tree.predict(inputs) for tree in forest.estimators_])
        return np.asarray(each.std(axis=0) - each.mean(axis=0))

    yield from _modelled(table, rng, score)


def _process() -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(1.0, (0.1, 10)) * Matern(1.0, (0.3, 10), nu=2.5)
    return GaussianProcessRegressor(kernel + WhiteKernel(1e-3, (1e-5, 1e-1)), random_state=0)


def _modelled(table: Table, rng: np.random.Generator, score: Any) -> Trials:
    """Random trials first; then the one the model scores highest."""
    left = list(range(len(table.space)))
    tried: list[int] = []
    told: list[float] = []
    while left:
        if len(tried) < FIRST:
            setting = int(rng.choice(left))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a length at its bound is no news here
                scores = score(tried, np.asarray(told), np.asarray(left))
            setting = left[int(np.argmax(scores + 1e-12 * rng.random(len(left))))]
        left.remove(setting)
        told.append((yield setting))
        tried.append(setting)
