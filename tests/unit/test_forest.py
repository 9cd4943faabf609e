"""The expert on metrics: what it says, what it earns, and what must not change its answer."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from optimizer.gate.metrics import Heard, expert_of
from optimizer.gate.replay import calibrated
from optimizer.gate.tendency import Tendency
from optimizer.search.history import History
from optimizer.search.mixture import Mixture
from optimizer.search.search import Search
from optimizer.search.space import Column, Space

GIB = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
SPACE = Space.of([f"{gib:.0f}g" for gib in GIB], {"memory": Column("log", GIB)})
SMALL, MIDDLE, LARGE = 0, 2, 5
FAMILIES = 8


def ran(needed: float, level: float, rng: Any) -> tuple[Any, Any]:
    """A step's log cost, and the memory and CPU it was seen to use, by machine.

    It takes four times as long where it does not fit, and a machine costs what it holds.
    """
    fits = np.asarray(GIB) >= needed
    price = 0.25 * np.log(np.asarray(GIB) / GIB[0])
    log_cost = level + price + np.where(fits, 0.0, np.log(4.0)) + rng.normal(0, 0.02, len(GIB))
    used = np.minimum(needed, 0.95 * np.asarray(GIB)) * 2.0**30
    return log_cost, np.stack([used, np.where(fits, 0.9, 0.25)], axis=1)


@lru_cache(maxsize=4)
def history(telling: bool = True) -> History:
    """Steps that need between 3 and 100 GiB; with metrics that tell, or noise."""
    rng = np.random.default_rng(7)
    needs = np.exp(np.random.default_rng(1).uniform(np.log(3), np.log(100), FAMILIES * 3))
    rows, seen = zip(*[ran(float(n), rng.uniform(0, 3), rng) for n in needs], strict=True)
    if not telling:
        seen = tuple(np.exp(rng.normal(0, 1, one.shape)) for one in seen)
    families = [f"f{n % FAMILIES}" for n in range(len(rows))]
    return History.of(rows, families, len(GIB), metrics=seen)


@lru_cache(maxsize=4)
def mixture(telling: bool = True) -> Mixture:
    return Mixture(SPACE, history(telling))


def trial(needed: float, setting: int) -> tuple[float, Any]:
    log_cost, metrics = ran(needed, 1.0, np.random.default_rng(3))
    return float(log_cost[setting]), metrics[setting]


def believed(made: Mixture, needed: float, setting: int, metrics: bool = True) -> Any:
    told, seen = trial(needed, setting)
    return made.posterior([setting], [told], metrics=[seen if metrics else None])


def test_memory_in_use_says_which_machine_is_too_small() -> None:
    little, much = (believed(mixture(), need, LARGE).average() for need in (3.0, 60.0))
    assert little[SMALL] < little[LARGE]
    assert much[SMALL] > much[LARGE]
    blind = [believed(mixture(), need, LARGE, metrics=False).average() for need in (3.0, 60.0)]
    assert np.allclose(blind[0], blind[1], atol=1e-9)


def test_its_weight_is_what_it_earned_times_what_the_step_shows() -> None:
    expert = mixture()._expert
    assert expert is not None
    assert expert.share > 0.2
    told, seen = trial(3.0, LARGE)
    right = mixture().posterior([LARGE, SMALL], [told, told - 0.85], metrics=[seen, None])
    wrong = mixture().posterior([LARGE, SMALL], [told, told + 3.0], metrics=[seen, None])
    assert right.of_metrics > believed(mixture(), 3.0, LARGE).of_metrics > wrong.of_metrics


def test_metrics_that_say_nothing_have_no_say() -> None:
    assert mixture(telling=False)._expert is None
    rest = Mixture(SPACE, replace(history(telling=False), metrics=None))
    one, two = (believed(made, 20.0, MIDDLE) for made in (mixture(telling=False), rest))
    assert np.array_equal(one.mean, two.mean)
    assert np.array_equal(one.weights, two.weights)


def test_a_search_that_is_told_metrics_tries_what_they_point_at() -> None:
    def second(needed: float) -> int:
        search = Search(SPACE, history())
        told, seen = trial(needed, LARGE)
        search.tell(LARGE, told, metrics=seen)
        step = search.next()
        assert step is not None
        return step.setting

    assert GIB[second(3.0)] <= 8.0
    assert GIB[second(30.0)] >= 32.0


@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.sampled_from([1e-9, 1e-3, 60.0, 1024.0]), st.sampled_from([1e-3, 1024.0]))
def test_units_of_metrics_and_of_machines_scale_out(unit: float, other: float) -> None:
    told = history()
    scaled = replace(told, metrics=told.seen * [unit, 1.0])
    space = Space.of(SPACE.names, {"memory": Column("log", tuple(gib * other for gib in GIB))})
    log_cost, seen = trial(20.0, MIDDLE)
    made = Mixture(space, scaled).posterior([MIDDLE], [log_cost], metrics=[seen * [unit, 1.0]])
    plain = mixture().posterior([MIDDLE], [log_cost], metrics=[seen])
    assert np.allclose(made.average(), plain.average(), atol=0.03)
    assert made.of_metrics == pytest.approx(plain.of_metrics, abs=0.05)


@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 1000))
def test_the_order_of_steps_does_not_matter_and_the_same_is_said_again(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(FAMILIES * 3)
    mixed = Mixture(SPACE, history().of_steps(order))
    one, two = (believed(made, 20.0, MIDDLE) for made in (mixed, mixture()))
    assert np.allclose(one.average(), two.average(), atol=1e-6)
    assert one.of_metrics == pytest.approx(two.of_metrics, abs=1e-6)


def test_what_was_not_measured_is_left_out() -> None:
    hidden = history().seen.copy()
    hidden[::2, :, 1] = np.nan
    hidden[1::4] = np.nan
    made = Mixture(SPACE, replace(history(), metrics=hidden))
    told, seen = trial(3.0, LARGE)
    belief = made.posterior([LARGE], [told], metrics=[np.asarray([seen[0], np.nan])])
    assert np.isfinite(belief.average()).all()
    one = replace(history(), metrics=np.full_like(hidden, np.nan))
    assert Mixture(SPACE, one)._expert is None


def test_at_the_gate_what_the_incumbent_did_says_where_to_go() -> None:
    told = history()
    expert, tendency = expert_of(SPACE, told), Tendency.of(SPACE, told)
    assert expert is not None
    seen = [ran(need, 1.0, np.random.default_rng(2))[1] for need in (3.0, 100.0)]
    small, large = (Heard(tendency, expert, one).about(LARGE) for one in seen)
    assert small.average()[SMALL] < 0.0 < large.average()[SMALL]
    unheard = Heard(tendency, expert, None).about(LARGE)
    assert unheard.of_metrics == 0.0 < small.of_metrics


def test_what_is_picked_in_replays_saves_more_often_with_metrics() -> None:
    plain = calibrated(SPACE, replace(history(), metrics=None))
    heard = calibrated(SPACE, history())
    assert plain is not None
    assert heard is not None
    assert heard.mean_saved > plain.mean_saved + 0.1
