"""What an effect seen in history rests on, and the regime that it is seen in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.web.evidence import read
from optimizer.causal import causal, e_value, effective, support
from optimizer.evidence import Batches, batches, is_intact
from optimizer.guard import Limits
from optimizer.models.levels import Level, within_runs
from optimizer.regime import current
from optimizer.tune import tune_step


def history(
    runs: int, *, seed: int = 0, a_run: int = 40, factor: float = 1.0, at: float = 0.5,
    other: int = 100, late: bool = False,
) -> pa.Table:  # fmt: skip
    """Runs of two batch sizes; from ``at`` on an item takes ``factor`` as long."""
    chance, rows = np.random.default_rng(seed), []
    for r in range(runs):
        slow = factor if r >= at * runs else 1.0
        for k in range(a_run):
            size = other if k % 4 == 0 and (not late or r >= at * runs) else 25
            seconds = slow * (0.06 + 0.0002 * size) * math.exp(chance.normal(0, 0.2))
            began = 1_000_000.0 + 3_600.0 * r + k
            rows.append({
                "attempt": f"r{r:04}/s/{k}/1", "run": f"r{r:04}", "version": "v1", "batch": k,
                "block": k, "number": 1, "outcome": "succeeded", "retried": 0, "run_s": seconds,
                "items": size, "cost_usd": seconds / 3600, "scheduled_at": began,
                "at": began + seconds, "batch_size": size, "in_flight": 2, "experiment": "x",
                "arm": "control" if size == 25 else "candidate", "share": 0.25,
            })  # fmt: skip
    return pa.Table.from_pylist(rows)


SCOPE: dict[str, Any] = {
    "playbook": "p", "step": "s", "version": "v1", "bound": "b", "effect": "idempotent",
    "objective": "cost", "defaults": {"each.batch": 25}, "stable": {},
    "tune": [{"name": "each.batch", "min": 10, "max": 1000}], "last": [],
}  # fmt: skip


def tuned(table: pa.Table) -> Any:
    import random

    return tune_step(SCOPE, batches(table), Limits(), random.Random(1))


# ---- sensitivity, support, effective size -------------------------------------------------


@given(st.floats(-3, 3), st.floats(0.01, 3))
def test_no_effect_needs_no_unseen_cause_and_a_larger_one_a_stronger(
    log: float, spread: float
) -> None:
    assert e_value(0.0, spread) == 1.0
    assert 1.0 <= e_value(log, spread) <= e_value(1.5 * log, spread)
    assert e_value(-log, spread) == e_value(log, spread)


def test_the_e_value_is_that_of_its_paper() -> None:
    ratio = 3.9  # VanderWeele and Ding, the example of breastfeeding: 7.2
    assert e_value(math.log(ratio) / 0.91, 1.0) == pytest.approx(7.26, abs=0.01)


def test_an_interval_that_holds_nothing_is_explained_by_no_cause_at_all() -> None:
    section = causal(Level(-0.1, 0.1, 20, 0.3, -0.1, "within runs"), "cost", ["run"])
    assert section["e_value_bound"] == 1.0
    low, high = section["interval"]
    assert low < section["adjusted"] < high


def test_a_fair_trial_is_as_sure_as_it_has_batches_a_side() -> None:
    chance = np.random.default_rng(3)
    run = np.repeat(np.arange(20), 20)
    value = np.tile(np.repeat([25, 50], 10), 20)
    y = chance.normal(0.0, 0.3, 400) + 0.1 * run
    level = within_runs(run, value, y, 25)[50]
    assert effective(level) == pytest.approx(200, rel=0.15)


def test_a_value_run_on_small_work_alone_has_no_support() -> None:
    big, small = batches(history(6)), batches(history(6, a_run=4))
    found = support(big, "size", 100, 25)
    assert found == 1.0
    apart = {
        name: np.r_[getattr(big.where(big.size == 25), name),
                    getattr(small.where(small.size == 100), name)]
        for name in ("size", "items")
    }  # fmt: skip
    run = np.r_[big.run[big.size == 25], np.char.add("small", small.run[small.size == 100])]
    mixed = _batches(big, run=run, **apart)
    assert support(mixed, "size", 100, 25) == 0.0
    assert support(mixed, "size", 400, 25) == 0.0


def _batches(like: Batches, **columns: Any) -> Batches:
    from dataclasses import fields

    n = len(columns["run"])
    filled = {
        f.name: columns.get(f.name, np.zeros(n)) for f in fields(like) if f.name != "quality"
    }
    return Batches(**filled, quality=like.quality)


# ---- the regime ---------------------------------------------------------------------------


def test_a_steady_history_is_one_regime() -> None:
    kept = current(batches(history(60)))
    assert len(kept) == 60 * 40
    assert kept.quality.regime_since is None


def test_only_the_current_regime_counts_and_what_is_left_out_is_counted() -> None:
    kept = current(batches(history(60, factor=1.65, at=0.5)))
    runs = len(np.unique(kept.run))
    assert 25 <= runs <= 35
    assert kept.quality.before_regime == 60 * 40 - len(kept)
    assert kept.quality.regime_factor == pytest.approx(1.65, rel=0.1)


def test_a_new_value_of_a_knob_is_no_new_regime() -> None:
    kept = current(batches(history(60, late=True)))
    assert kept.quality.regime_since is None


# ---- in the record ------------------------------------------------------------------------


def test_a_proposal_from_a_regime_says_so_in_evidence_that_is_intact() -> None:
    found = tuned(history(60, factor=1.65)).candidate
    assert is_intact(found.evidence)
    assert found.evidence["regime"] == found.evidence["data_quality"]["regime_since"] > 0
    assert found.evidence["causal"]["e_value_bound"] > 3.0
    assert found.evidence["support"] == 1.0
    lines = " ".join(read(found.evidence, 25, (100,)).lines)
    assert "An item took another time before" in lines
    assert "an unseen cause would have to go with both" in lines


def test_a_history_whose_times_cannot_be_is_not_believed() -> None:
    table = history(10)
    broken = np.where(np.arange(table.num_rows) % 5 == 0, -1.0, table.column("run_s").to_numpy())
    place = table.column_names.index("run_s")
    found = tuned(table.set_column(place, "run_s", pa.array(broken)))
    assert found.candidate is None
    assert [r.reason for r in found.reasons] == ["data_quality"]
    assert "20% of the attempts have times that cannot be" in found.reasons[0].text


def test_more_data_of_the_same_kind_narrows_the_interval() -> None:
    few, many = (tuned(history(n)).candidate.evidence["causal"] for n in (8, 64))
    assert many["interval"][1] - many["interval"][0] < few["interval"][1] - few["interval"][0]
    assert many["effective"] > few["effective"]
