"""The Pareto view: laws of the front, and what a table of attempts comes to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.pareto import Bounds, Measure, Point, front, points

measures = st.builds(Measure, st.floats(0.1, 9), st.floats(0, 1))
some = st.lists(
    st.builds(
        Point, st.integers(0, 99).map(lambda n: {"hardware": str(n)}), st.integers(1, 40),
        measures, measures, st.builds(Measure, st.floats(0, 1), st.floats(0, 0.2)),
    ),
    max_size=8,
)  # fmt: skip
bounds = st.builds(Bounds, st.none() | st.floats(0.1, 9), st.none() | st.floats(0, 1))


@given(some, bounds)
def test_what_is_sound_and_cheaper_than_all_others_is_never_dominated(
    told: list[Point], kept: Bounds
) -> None:
    sound = [one for one in front(told, kept) if one.standing in ("front", "dominated")]
    costs = [one.point.cost.value for one in sound]
    assert not sound or costs.count(costs[0]) > 1 or sound[0].standing == "front"
    assert {id(one.point) for one in front(told, kept)} == {id(one) for one in told}
    assert not sound or any(one.standing == "front" for one in sound)


@given(some, bounds)
def test_no_setting_on_the_front_breaks_what_is_to_be_kept(
    told: list[Point], kept: Bounds
) -> None:
    for one in front(told, kept):
        assert one.standing != "front" or not kept.broken_by(one.point)
        assert (one.standing == "dominated") == (one.by is not None)


@given(some, bounds, st.floats(0.1, 50))
def test_the_unit_of_cost_scales_out(told: list[Point], kept: Bounds, unit: float) -> None:
    other = [
        Point(p.setting, p.attempts, Measure(p.cost.value * unit, p.cost.error * unit), p.p95_s,
              p.failures)
        for p in told
    ]  # fmt: skip
    one, again = front(told, kept), front(other, kept)
    assert sorted(s.standing for s in one) == sorted(s.standing for s in again)


def table(**seconds: float) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = [
        {
            "hardware": name, "batch_size": None, "in_flight": 1, "items": None,
            "run_s": each * float(np.exp(rng.normal(0, 0.05))), "cost_usd": None,
            "outcome": "failed" if name == "flaky" and n % 2 else "succeeded",
        }
        for name, each in seconds.items() for n in range(1 if name == "rare" else 40)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def test_settings_are_told_apart_and_judged() -> None:
    told = front(points(table(small=4.0, large=2.0, flaky=3.0, rare=1.0)), Bounds())
    standings = {one.point.setting["hardware"]: one.standing for one in told}
    assert standings == {
        "large": "front", "small": "dominated", "flaky": "dominated", "rare": "uncertain",
    }  # fmt: skip


def test_a_setting_that_breaks_the_slo_is_on_no_front() -> None:
    told = front(points(table(small=4.0, large=2.0)), Bounds(p95_s=1.0))
    assert [one.standing for one in told] == ["breaks_slo", "breaks_slo"]


def test_what_failed_is_paid_for_by_what_did_not() -> None:
    (flaky,) = points(table(flaky=3.0))
    assert flaky.cost.value == pytest.approx(6.0, rel=0.05)
    assert flaky.failures.value == pytest.approx(0.5)


def test_an_attempt_without_a_time_is_no_quick_one() -> None:
    rows = table(small=4.0).to_pylist()
    lost = [{**one, "run_s": None, "outcome": "lost"} for one in rows]
    (found,) = points(pa.Table.from_pylist(rows + lost))
    assert found.attempts == len(rows)
    assert found.p95_s.value > 4.0
    assert found.failures.value == pytest.approx(0.5)
    (only,) = front(points(pa.Table.from_pylist(lost)), Bounds(p95_s=1.0))
    assert only.standing == "uncertain"


def test_the_stated_error_of_a_cost_is_that_of_what_is_stated() -> None:
    rng, stated, told = np.random.default_rng(2), [], []
    for _ in range(200):
        sizes = rng.choice([1, 40], 60, p=[0.7, 0.3])
        rows = [
            {
                "hardware": "h", "batch_size": None, "in_flight": 1, "items": int(n),
                "run_s": float((1.0 + 0.1 * n) * np.exp(rng.normal(0, 0.3))), "cost_usd": None,
                "outcome": "succeeded" if rng.random() > 0.2 else "failed",
            }
            for n in sizes
        ]  # fmt: skip
        (found,) = points(pa.Table.from_pylist(rows))
        stated.append(found.cost.error)
        told.append(found.cost.value)
    assert np.mean(stated) == pytest.approx(float(np.std(told)), rel=0.25)
