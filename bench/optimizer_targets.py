"""What the optimizer is to reach on the shared half of the data, and what of it is reached.

A target is a metric of one row of the backtest and a limit. A row that was not measured is said
to be so: it is neither reached nor missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]

OURS: Final = "trimtab"
SIMPLE: Final = ("mean_rank", "sklearn_gp", "optuna_tpe")
"""The simple baselines that ours is never to be worse than."""


@dataclass(frozen=True, slots=True)
class Target:
    """One figure to reach. ``kind`` is that of the row, "" for a search."""

    number: str
    dataset: str
    objective: str
    metric: str
    limit: float
    at_least: bool = False
    kind: str = ""
    same_family: bool = False
    method: str = OURS
    most: float | None = None
    """The other end, where a figure is to be neither less nor more."""

    def reached(self, value: float) -> bool:
        """Whether a figure is within the limit."""
        if self.most is not None and value > self.most:
            return False
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def words(self) -> str:
        """The limit as it is read."""
        if self.most is not None:
            return f"{self.limit:g} to {self.most:g}"
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Met:
    """A target beside what was measured, None where it was not."""

    target: Target
    value: float | None
    there: bool = False
    """Whether its row is there: one without a value counted nothing, such as no proposals."""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.value is None:
            return "nothing to count" if self.there else "not measured"
        return "reached" if self.target.reached(self.value) else "missed"


def _search(number: str, dataset: str, objective: str, **limits: float) -> Iterator[Target]:
    same = limits.pop("same_family", 0.0) > 0
    for metric, limit in limits.items():
        more = metric.startswith("s") and metric[1:].isdigit()
        yield Target(number, dataset, objective, metric, limit, more, same_family=same)


HARDEST: Final = ("scout_multi", "cost_usd")
LATENCIES: Final = ("25ms", "50ms", "100ms")
TARGETS: Final[tuple[Target, ...]] = (
    *_search("1", "scout_multi", "time_s", k5=2, k5_p90=6, s3=75, s6=92),
    *_search("2", "scout_multi", "cost_usd", k5=6, s12=85, net_regret=18),
    *_search("2", "scout_multi", "cost_usd", k5=4, same_family=1),
    *_search("3", "ibm_multicloud", "cost_usd", k5=2, k5_p90=4, s3=85, s12=100, failed_trials=0.1),
    *_search("3", "ibm_multicloud", "time_s", k5=2, k5_p90=6, s3=75, s12=100, failed_trials=0.1),
    *(
        target
        for dataset, objectives in {
            "gavel": ("usd_per_msample", "s_per_ksample"),
            "pollux_adaptdl": ("gpu_s_per_ksample", "s_per_ksample"),
        }.items()
        for objective in objectives
        for target in _search("4", dataset, objective, k5=2, k5_p90=4)
    ),
    *(
        target
        for objective in ("device_s_per_mtoken", "s_per_mtoken")
        for target in (
            *_search("5", "llm_inference_bench", objective, k5=1),
            *(
                one
                for latency in LATENCIES
                for one in _search("5", "llm_inference_bench", f"{objective}<={latency}", s3=90)
            ),
        )
    ),
    *_search("6", "scout_multi", "time_s", net_regret=8),
    *_search("6", "ibm_multicloud", "time_s", net_regret=8),
    *_search("6", "ibm_multicloud", "cost_usd", net_regret=18),
    *(
        Target(
            number, dataset, objective, metric, limit, at_least, "gate", method="gate",
            most=94.0 if metric == "interval" else None,
        )
        for dataset, cost, time in (
            ("scout_multi", "cost_usd", "time_s"),
            ("ibm_multicloud", "cost_usd", "time_s"),
            ("llm_inference_bench", "device_s_per_mtoken", "s_per_mtoken"),
            ("gavel", "usd_per_msample", "s_per_ksample"),
            ("pollux_adaptdl", "gpu_s_per_ksample", "s_per_ksample"),
        )
        for objective in (cost, time)
        for number, metric, limit, at_least in (
            ("7", "harm", 3.0 if objective == cost else 2.0, False),
            ("7", "coverage", 40.0, True),
            ("8", "after_harm", 0.5, False),
            ("8", "after_catastrophes", 0.0, False),
            ("8", "after_capture", 75.0 if (dataset, objective) == HARDEST else 95.0, True),
            ("9", "ece", 0.05, False),
            ("9", "interval", 86.0, True),
        )
    ),
    *(
        Target("11", dataset, objective, metric, limit, at_least, kind="batch")
        for dataset in ("vidur_mlp", "pollux_adaptdl")
        for objective, metric, limit, at_least in (
            ("three_spread", "error", 5.0, False),
            ("three_spread", "error_p90", 10.0, False),
            ("three_spread", "oracle", 90.0, True),
            ("three_spread", "broken", 2.0, False),
            ("three_near", "broken", 2.0, False),
        )
    ),
    *(
        Target("12", "flaky_reruns", f"price_{price}_logged_{logged}", "over_oracle", limit,
               kind="retry")
        for price in (5, 20, 100)
        for logged, limit in ((5, 5.0), (20, 1.0))
    ),
    *(
        Target("12", "flaky_reruns", f"price_{price}_logged_10", "on_permanent", 1.1, kind="retry")
        for price in (5, 20, 100)
    ),
    *(
        Target("12", "injected_outage", way, "amplification", 1.1, kind="outage")
        for way in ("as_configured", "with_the_budget")
    ),
)  # fmt: skip
THINKING: Final = 50.0
"""Milliseconds a proposal on 100 settings, at most: target 13."""


def met(rows: Sequence[Row]) -> list[Met]:
    """Return every target with what was measured of it."""
    slowest = max((r["ms"] for r in searches(rows) if r["method"] == OURS), default=None)
    thinking = Met(Target("13", "every data set,", "the slowest", "ms", THINKING), slowest)
    return [*(Met(target, *_value(target, rows)) for target in TARGETS), thinking]


def _value(target: Target, rows: Sequence[Row]) -> tuple[float | None, bool]:
    """Return a target's figure, and whether its row is there."""
    wanted = (target.dataset, target.objective, target.method, target.kind or "search")
    for row in rows:
        told = (row["dataset"], row["objective"], row["method"], row.get("kind") or "search")
        same = bool(row.get("same_family")) == target.same_family and not row.get("noise")
        if told == wanted and same:
            value = row.get(target.metric)
            return (None if value is None else float(value)), True
    return None, False


def _plain(row: Row) -> bool:
    """Whether a row is of a search, without noise, with history of other families alone."""
    searched = str(row.get("kind", "")) in ("", "search")
    return searched and not row.get("noise") and not row.get("same_family")


def searches(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of plain searches."""
    return [row for row in rows if _plain(row)]
