"""Tests that may be looked at after every unit: e-processes and confidence sequences.

An e-process is a running number that, when the null hypothesis holds, exceeds 1/alpha at any
time with a chance of at most alpha (Ville 1939). So a look costs nothing and there is no
sample size to wait for. What they rest on is one thing: the arm of a unit was drawn with a
known chance, without regard to its outcome. Each method names its source.

>>> harm = ArmOdds()
>>> for _ in range(20):
...     harm.add(1.0, candidate=True, share=0.5)
>>> harm.log_e > math.log(1 / 0.05)
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG_ODDS: Final[Floats] = np.linspace(math.log(1.05), math.log(20.0), 60)
"""Alternatives of the harm test: outcomes this much likelier (in log odds) on the candidate."""

FEW: Final = 3
"""Units of an arm below which its own mean is not used."""
SIGN_BET: Final = 0.8
"""Share of the capital that the sign test bets on each pair."""


def _fresh() -> Floats:
    return np.zeros(len(LOG_ODDS), dtype=np.float64)


@dataclass(slots=True)
class ArmOdds:
    """Is the candidate the likelier arm of the units with a bad outcome?

    Given how bad a unit's outcome was (``weight``), a harmless candidate is its arm with
    just the chance of the draw. Against that stands an odds ratio r^weight, mixed over a
    grid of r. A weight of 0 says nothing, a negative one speaks for the candidate.
    Any function of the outcome (and of earlier units) may be the weight: a count of failed
    first tries, an exceedance, a bounded score of log time.

    Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, for
    counts; Shafer, "Testing by betting", JRSS A 2021, for weights.
    """

    _log: Floats = field(default_factory=_fresh)
    log_e: float = 0.0
    log_e_max: float = 0.0

    def add(self, weight: float, *, candidate: bool, share: float) -> None:
        """Take in one unit, whose arm was the candidate with chance ``share``."""
        if weight == 0.0:
            return
        if not 0.0 < share < 1.0:
            raise ValueError(f"the candidate's share must lie between 0 and 1, is {share}")
        tilt = weight * LOG_ODDS
        null = np.logaddexp(math.log1p(-share), math.log(share) + tilt)
        self._log += (tilt if candidate else 0.0) - null
        self.log_e = log_mean_exp(self._log)
        self.log_e_max = max(self.log_e_max, self.log_e)


def harm_log_e(
    events: Iterable[float], arms: Iterable[bool], shares: Iterable[float]
) -> Iterator[float]:
    """Yield the log e-value of `ArmOdds` after each unit."""
    harm = ArmOdds()
    for event, arm, share in zip(events, arms, shares, strict=True):
        harm.add(float(event), candidate=arm, share=share)
        yield harm.log_e


def log_mean_exp(logs: Floats | Sequence[float]) -> float:
    """Return the log of the mean of exp(logs).

    The mean of e-values is an e-value: Vovk & Wang, "E-values: calibration, combination
    and applications", Annals of Statistics 2021.
    """
    values = np.asarray(logs, dtype=np.float64)
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).mean()))


@dataclass(slots=True)
class LogTime:
    """Always-valid test that the candidate is slower, on log time per item.

    The weight of a unit is a bounded score of how its log time stands to all earlier units
    (both arms), so one wild unit moves it as little as a slow one. Weights by rank or score
    under a known draw: Howard & Pimentel, "The uniform general signed rank test and its
    design sensitivity", Biometrika 2021; here as bets of `ArmOdds`.
    """

    odds: ArmOdds = field(default_factory=ArmOdds)
    _seen: Moments = field(default_factory=lambda: Moments())

    def add(self, log_time: float, *, candidate: bool, share: float) -> None:
        """Take in one unit."""
        if self._seen.n >= 4 and self._seen.sd > 0.0:
            score = math.tanh((log_time - self._seen.mean) / self._seen.sd)
            self.odds.add(score, candidate=candidate, share=share)
        self._seen.add(log_time)


@dataclass(slots=True)
class Moments:
    """Running mean and variance (Welford, "Note on a method…", Technometrics 1962)."""

    n: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Take in one value."""
        self.n += 1
        delta = value - self.mean
        self.mean += delta / self.n
        self._squares += delta * (value - self.mean)

    @property
    def sd(self) -> float:
        """The standard deviation (0 below two values)."""
        return math.sqrt(self._squares / (self.n - 1)) if self.n > 1 else 0.0


def asymptotic_halfwidth(n: int, sd: float, alpha: float, t_opt: int) -> float:
    """Return the half width of the asymptotic confidence sequence of a mean after n values.

    It is tightest near ``t_opt`` values and holds at every n together, in the limit that
    the first look comes late (30 a side here). Waudby-Smith, Arbour, Sinha, Kennedy &
    Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
    Annals of Statistics 2024.

    >>> round(asymptotic_halfwidth(100, 1.0, 0.05, 100), 3)
    0.304
    """
    if n < 2:
        return math.inf
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / t_opt
    spread = n * rho2 + 1
    return sd * math.sqrt(2 * spread / (n * n * rho2) * math.log(math.sqrt(spread) / alpha))


@dataclass(slots=True)
class Difference:
    """The difference of the arms' mean outcomes, by inverse-probability scores.

    A unit scores ``M₁ - M₀ + (y - M₁)/q`` on the candidate and ``M₁ - M₀ - (y - M₀)/(1 - q)``
    on control, with M the arm's mean y before it: its expectation is the true difference
    whatever M is (Robins, Rotnitzky & Zhao, JASA 1994; used so in the paper named at
    `asymptotic_halfwidth`).
    """

    scores: Moments = field(default_factory=Moments)
    _arms: tuple[Moments, Moments] = field(default_factory=lambda: (Moments(), Moments()))
    _all: Moments = field(default_factory=Moments)

    def add(self, value: float, *, candidate: bool, share: float) -> None:
        """Take in one unit; the very first only sets the level."""
        if self._all.n:
            control_mean, candidate_mean = (self._mean(arm) for arm in self._arms)
            score = candidate_mean - control_mean
            if candidate:
                score += (value - candidate_mean) / share
            else:
                score -= (value - control_mean) / (1.0 - share)
            self.scores.add(score)
        self._arms[candidate].add(value)
        self._all.add(value)

    def _mean(self, arm: Moments) -> float:
        return arm.mean if arm.n >= FEW else self._all.mean

    @property
    def counts(self) -> tuple[int, int]:
        """How many units of control and candidate are in."""
        return self._arms[0].n, self._arms[1].n

    def interval(self, alpha: float, t_opt: int) -> tuple[float, float, float]:
        """Return lower, estimate and upper of the difference."""
        half = asymptotic_halfwidth(self.scores.n, self.scores.sd, alpha, t_opt)
        return self.scores.mean - half, self.scores.mean, self.scores.mean + half


@dataclass(slots=True)
class Gain(Difference):
    """Log ratio of the arms' mean outcomes.

    An outcome counts as ``y = l + (l - m)²/2``, with l its log and m the arm's mean log
    before it: to second order its expectation is the log of the arm's *mean* (as for a
    lognormal, where it is exact), while one wild unit weighs little. Mean logs alone would
    flatter a block of one batch beside a block of eight, whose mean varies less.
    """

    _logs: tuple[Moments, Moments] = field(default_factory=lambda: (Moments(), Moments()))

    def add(self, value: float, *, candidate: bool, share: float) -> None:
        """Take in the log outcome of one unit."""
        logs, scored = self._logs[candidate], value
        if logs.n >= FEW:
            scored += (value - logs.mean) ** 2 / 2.0
        Difference.add(self, scored, candidate=candidate, share=share)
        logs.add(value)


def proportion_sequence(
    events: float, n: float, alpha: float, prior: tuple[float, float] = (0.5, 40.0)
) -> tuple[float, float]:
    """Return the confidence sequence of a proportion after n trials, by beta-binomial mixture.

    Trials that do not stand by themselves count as parts of one.

    It holds at every n together. Robbins, "Statistical methods related to the law of the
    iterated logarithm", Annals of Mathematical Statistics 1970; Howard, Ramdas, McAuliffe &
    Sekhon, Annals of Statistics 2021, for this prior's form.

    >>> low, high = proportion_sequence(0, 100, 0.025)
    >>> low, round(high, 3)
    (0.0, 0.042)
    """
    if not 0 <= events <= n:
        raise ValueError(f"{events} events in {n} trials")
    if n == 0:
        return 0.0, 1.0
    a, b = prior
    log_mixture = _log_beta(a + events, b + n - events) - _log_beta(a, b)

    def excluded(p: float) -> bool:
        log_p = events * math.log(p) if events else 0.0
        log_q = (n - events) * math.log1p(-p) if n > events else 0.0
        return log_mixture - log_p - log_q > math.log(1.0 / alpha)

    peak = events / n
    low = 0.0 if events == 0 else _edge(peak, 1e-12, excluded)
    high = 1.0 if events == n else _edge(peak, 1.0 - 1e-12, excluded)
    return low, high


def _edge(inside: float, outside: float, excluded: Callable[[float], bool]) -> float:
    if not excluded(outside):
        return outside
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return 0.5 * (inside + outside)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@dataclass(slots=True)
class SignBet:
    """E-process that more than half of the pairs win: a fixed share of the capital on each.

    Within a pair the order of the arms was a fair coin, so a candidate without the margin
    wins with a chance of at most one half. Shafer, "Testing by betting", JRSS A 2021.
    """

    log_e: float = 0.0
    log_e_max: float = 0.0
    n: int = 0
    wins: int = 0

    def add(self, win: bool) -> None:
        """Take in one pair."""
        self.n += 1
        self.wins += win
        self.log_e += math.log1p(SIGN_BET if win else -SIGN_BET)
        self.log_e_max = max(self.log_e_max, self.log_e)


def pseudo_median(values: Sequence[float]) -> float:
    """Return the median of all pairwise means: a centre that one wild pair cannot move far.

    Hodges & Lehmann, "Estimates of location based on rank tests", Annals of Mathematical
    Statistics 1963.

    >>> round(pseudo_median([0.1, 0.2, 0.3, 9.0]), 3)
    0.275
    """
    found = np.asarray(values, dtype=np.float64)
    i, j = np.triu_indices(len(found))
    return float(np.median((found[i] + found[j]) / 2.0))


def median_sequence(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return the interval of a median in which a two-sided sign bet keeps every value.

    Infinite on both sides until there are enough values. The inversion of `SignBet`.
    """
    ordered, n = sorted(values), len(values)
    out = [k for k in range(n + 1) if _two_sided(k, n) >= math.log(1.0 / alpha)]
    below = [k for k in out if 2 * k < n]
    if not below:
        return -math.inf, math.inf
    cut = max(below)
    return ordered[cut], ordered[n - 1 - cut]


def _two_sided(k: int, n: int) -> float:
    up, down = math.log1p(SIGN_BET), math.log1p(-SIGN_BET)
    return log_mean_exp([k * up + (n - k) * down, k * down + (n - k) * up])
