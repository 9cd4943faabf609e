"""Hours of the day: proposed where like was compared with like, and not where it was not."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step

DAY = 86_400


def record(
    effects: dict[int, float], fast_at: set[int] | None = None, days: int = 12,
    daily: dict[int, float] | None = None, seed: int = 1,
) -> pa.Table:  # fmt: skip
    """Return runs at 2, 10 and 18 o'clock for some days; ``effects`` are log, by hour.

    ``daily`` is by how much a whole day's runs at an hour vary together.
    """
    rng, rows = np.random.default_rng(seed), []
    for day in range(days):
        for hour in (2, 10, 18):
            luck = rng.normal(0.0, (daily or {}).get(hour, 0.0))
            for k in range(2):
                items = int(rng.integers(800, 1200))
                fast = hour in fast_at if fast_at is not None else rng.random() < 0.5
                seconds = (
                    items
                    * 0.01
                    * math.exp(
                        effects.get(hour, 0.0)
                        + luck
                        - (0.5 if fast else 0.0)
                        + rng.normal(0, 0.05)
                    )
                )
                start = day * DAY + hour * 3600.0 + 600 * k
                run = f"d{day}h{hour}k{k}"
                rows.append({
                    "attempt": f"{run}/s/-1/1", "run": run, "version": "v", "batch": -1,
                    "block": -1, "number": 1, "outcome": "succeeded", "error_class": "",
                    "retried": 0, "run_s": seconds, "items": items, "cost_usd": seconds / 3600,
                    "scheduled_at": start, "at": start + seconds, "batch_size": None,
                    "in_flight": None, "experiment": "", "arm": "", "share": None,
                    "hardware": "fast" if fast else "slow",
                })  # fmt: skip
    return pa.Table.from_pylist(rows)


def tuned(data: pa.Table, limits: Limits | None = None) -> Tuned:
    scope: dict[str, Any] = {
        "playbook": "p", "step": "s", "defaults": {"schedule": None},
        "tune": [{"name": "schedule"}],
    }  # fmt: skip
    return tune_step(scope, batches(data), limits or Limits(), random.Random(1), tries(data))


def test_cheaper_hours_are_proposed_where_like_was_compared_with_like() -> None:
    found = tuned(record({2: -0.4})).candidate
    assert found is not None
    assert found.diff == [{"knob": "schedule", "from": None, "to": "00:00-04:00"}]
    truth = math.expm1(-0.4 * 2 / 3)
    assert found.predicted["cost"]["median"] == pytest.approx(truth, abs=0.05)
    assert found.evidence["days"] == 12


def test_hours_that_do_not_differ_are_left_alone() -> None:
    assert [r.reason for r in tuned(record({})).reasons] == ["not_worthwhile"]


def test_a_fast_worker_that_works_at_night_alone_says_nothing_of_the_night() -> None:
    found = tuned(record({}, fast_at={2}))
    assert found.candidate is None
    assert found.reasons[0].reason in ("history_cannot_say", "not_worthwhile")


def test_a_few_days_are_too_few() -> None:
    found = tuned(record({2: -0.4}, days=3))
    assert [r.reason for r in found.reasons] == ["too_little_history"]


def test_steady_hours_are_not_cheaper_for_what_the_others_happened_to_cost() -> None:
    long_trial = Limits(ramp_units=2000)
    found = [
        tuned(record({2: -0.05}, set(), daily={10: 0.5, 18: 0.5}, seed=seed), long_trial)
        for seed in range(24)
    ]
    assert sum(one.candidate is not None for one in found) <= 2  # 3% are to be had, not 5%
