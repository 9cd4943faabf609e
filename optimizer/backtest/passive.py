"""The gate on a measured table: a step that has only ever run under its incumbent.

A seed picks the incumbent among the settings within four times of the best, and how often
it was run (1, 3 or 10). Methods say whether they would change the setting, and to what.
Ours then goes on as the loop does: a canary or trial with two noisy runs a side, at most
`MOST_ARMS` of them while another is worth its price, and what may stay stays.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.methods import mean_rank
from optimizer.backtest.noise import Noise
from optimizer.backtest.table import Table
from optimizer.gate.gate import Judgement, Terms, arm, judge
from optimizer.gate.lent import gains, lent
from optimizer.gate.moves import Moves
from optimizer.gate.outlook import SAVING, Outlook, outlook
from optimizer.gate.replay import FARTHEST, calibrated
from optimizer.gate.tendency import Tendency
from optimizer.gate.trial import Settled, settled
from optimizer.resemblance import Described, between, earned, resemblance
from optimizer.search.history import History
from optimizer.search.mixture import Mixture

Array: TypeAlias = NDArray[Any]

RUNS: Final = (1, 3, 10)
MOST_ARMS: Final = 4
"""Trials of one step before it is left as it is."""
TERMS: Final = Terms()
PLAIN_GATE: Final = 0.8
"""The stated chance at which the mixture alone would propose."""
CATASTROPHE: Final = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Told:
    """What a method said of one step. ``stated`` is false where it gives no chance."""

    proposed: bool
    candidate: int
    chance: float = 0.0
    saving: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stated: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """One seed, judged. Savings are true shares of the incumbent's outcome.

    ``ratio`` is the true log ratio of what was proposed (or came nearest), ``after`` of what
    stayed after the trials (0: the incumbent).
    """

    runs: int
    available: float
    proposed: bool
    asked: bool
    stated: bool
    chance: float
    low: float
    high: float
    ratio: float
    failed: bool
    kept: bool
    after: float
    after_failed: bool
    arms: int
    ms: float


def passive(
    method: str, table: Table, history: History, seeds: int, sound: Noise | None,
    lenders: Sequence[Described] = (),
) -> list[Passed]:  # fmt: skip
    """Return what a method says and does on a table, a line a seed.

    ``lenders`` are what is known of the history's workloads beside their outcomes.
    """
    began = time.perf_counter()
    judge_of = GATES[method](table, history, lenders)
    learnt = (time.perf_counter() - began) / seeds
    return [_one(table, judge_of, _Lab(table, seed, sound), seed, learnt) for seed in range(seeds)]


class _Lab:
    """Runs settings of a table, with noise; the same seed hears the same."""

    def __init__(self, table: Table, seed: int, sound: Noise | None) -> None:
        self._table, self._seed, self._sound = table, seed, sound
        self.told: dict[int, list[float]] = {}

    def run(self, setting: int, times: int) -> list[float]:
        """Run a setting and return all its log outcomes so far; a failure is infinite."""
        told = self.told.setdefault(setting, [])
        for _ in range(times):
            heard = 0.0
            if self._sound is not None:
                heard = self._sound.draw(self._table.name, self._seed, setting, len(told))
            failed = bool(self._table.failed[setting])
            told.append(np.inf if failed else float(self._table.log_outcome[setting]) + heard)
        return told


@dataclass(frozen=True, slots=True)
class _Plain:
    """A method that only says: no trial follows."""

    says: Callable[[int, float], Told]

    def after(self, told: Told, incumbent: int, lab: _Lab) -> tuple[int, int]:
        return incumbent, 0


class _Gate:
    """The shipped gate, with its trials."""

    def __init__(self, table: Table, history: History, lenders: Sequence[Described]) -> None:
        alike = between(lenders) if lenders else None
        share = 0.0 if alike is None else earned(gains(history, alike), history.families)
        mine = np.asarray([resemblance(table.described, other) for other in lenders])
        self._history = lent(history, mine, share)
        self._tendency = Tendency.of(table.space, self._history)
        self._mixture = Mixture(table.space, history)
        self._calibration = calibrated(table.space, history, alike, share)
        self._share = self._calibration.share if self._calibration else 0.5

    def says(self, incumbent: int, level: float) -> Told:
        judged = self._judged(incumbent, level)
        return Told(
            judged.verdict == "propose", judged.candidate, judged.chance, judged.saving,
            judged.known, judged.verdict == "ask",
        )  # fmt: skip

    def _judged(self, incumbent: int, level: float) -> Judgement:
        belief = outlook(self._tendency, self._history, incumbent, level, self._share)
        return judge(belief, self._calibration, TERMS)

    def after(self, told: Told, incumbent: int, lab: _Lab) -> tuple[int, int]:
        """Return what stays after the trials, and how many there were."""
        best, arms = incumbent, 0
        level = float(np.mean(lab.told[incumbent]))
        view = outlook(self._tendency, self._history, incumbent, level, self._share)
        pick = told.candidate if told.proposed or told.asked else None
        while pick is not None and arms < MOST_ARMS:
            arms += 1
            if _tried(view, best, pick, lab).kept:
                best = pick
            view = self._seen(best, lab)
            pick = arm(view, TERMS, tuple(lab.told))
        return best, arms

    def _seen(self, best: int, lab: _Lab) -> Outlook:
        """What is believed after trials: a failure counts as ten times the worst seen."""
        tried = sorted(lab.told)
        means = np.asarray([np.mean(lab.told[one]) for one in tried])
        worst = float(means[np.isfinite(means)].max()) + np.log(10.0)
        means = np.where(np.isfinite(means), means, worst)
        level = float(means[tried.index(best)])
        moves = Moves.of(self._history, best, level)
        posterior = self._mixture.posterior(tried, [float(m) for m in means])
        return Outlook(best, posterior, moves, 1.0)


def _tried(view: Outlook, control: int, candidate: int, lab: _Lab) -> Settled:
    runs = lab.run(candidate, TERMS.trial_runs)
    beside = lab.run(control, TERMS.trial_runs)
    if not np.isfinite(runs).all():
        return Settled(np.inf, 0.0, 0.0, 1.0, kept=False)
    return settled((float(view.mean[candidate]), float(view.spread[candidate])), beside, runs)


def _mixture(table: Table, history: History, lenders: Sequence[Described]) -> _Plain:
    """The mixture as it states itself, gated at 0.8: what calibration is worth."""
    mixture = Mixture(table.space, history)

    def says(incumbent: int, level: float) -> Told:
        belief = mixture.posterior([incumbent], [0.0])
        chance, mean = belief.below(SAVING), belief.average()
        chance[incumbent] = 0.0
        passes = chance >= PLAIN_GATE
        pick = int(
            np.argmin(np.where(passes, mean, np.inf)) if passes.any() else np.argmax(chance)
        )
        spread = float(
            np.sqrt(belief.weights @ (belief.variance + belief.mean**2) - mean**2)[pick]
        )
        ends = (-np.expm1(mean[pick] + k * spread) for k in (1.645, 0.0, -1.645))
        low, middle, high = (float(end) for end in ends)
        return Told(bool(passes.any()), pick, float(chance[pick]), (low, middle, high), True)

    return _Plain(says)


def _mean_rank(table: Table, history: History, lenders: Sequence[Described]) -> _Plain:
    """Always what was best for others on average."""
    best = next(mean_rank(table, history, np.random.default_rng(0)))
    return _Plain(lambda incumbent, level: Told(incumbent != best, best))


GATE: Final = "gate"
GATES: Final[dict[str, Callable[[Table, History, Sequence[Described]], Any]]] = {
    GATE: _Gate, "gate_mixture": _mixture, "gate_mean_rank": _mean_rank,
}  # fmt: skip


def _one(table: Table, method: Any, lab: _Lab, seed: int, learnt: float) -> Passed:
    incumbent = _incumbent(table, seed)
    runs = RUNS[seed % len(RUNS)]
    level = float(np.mean(lab.run(incumbent, runs)))
    began = time.perf_counter()
    told: Told = method.says(incumbent, level)
    seconds = time.perf_counter() - began + learnt
    best, arms = method.after(told, incumbent, lab)
    ratio = table.log_outcome - table.log_outcome[incumbent]
    return Passed(
        runs, float(1.0 - 1.0 / (1.0 + table.gap[incumbent])), told.proposed, told.asked,
        told.stated, told.chance, told.saving[0], told.saving[2], float(ratio[told.candidate]),
        bool(table.failed[told.candidate]), best != incumbent, float(ratio[best]),
        bool(table.failed[best]), arms, 1000.0 * seconds,
    )  # fmt: skip


def _incumbent(table: Table, seed: int) -> int:
    """A setting that somebody may run: it works, and is not four times worse than the best."""
    usual = np.flatnonzero(~table.failed & (np.log1p(table.gap) < FARTHEST))
    rng = np.random.default_rng([zlib.crc32(table.name.encode()), 7])
    order = rng.permutation(usual)
    return int(order[seed % len(order)])
