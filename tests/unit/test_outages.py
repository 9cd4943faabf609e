"""What a retry budget would have made of the outages in the record, and when it says so."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tries import ON, Try, table

from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.outages import Story, together
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step


def outage(
    quiet: int, down: int, times: int, attempts: int = 5, fails: float = 0.02, slow: float = 1.0
) -> list[list[Try]]:
    """Units that come one after the other; in an outage every try fails, else few do."""
    rng = np.random.default_rng(4)
    units: list[list[Try]] = []
    for place in range(times * (quiet + down)):
        if place % (quiet + down) >= quiet:
            units.append([("transient", slow)] * attempts)
        else:
            units.append([("transient", 1.0)] * int(rng.random() < fails) + [("", 1.0)])
    return units


def asked(data: pa.Table, stable: float | None = None, **limits: Any) -> Tuned:
    scope = {
        "playbook": "p", "step": "s", "effect": "idempotent", "objective": "cost",
        "defaults": {"retry.attempts": 5, "retry.on": ON, "retry.budget": stable},
        "tune": [{"name": "retry.budget", "min": 0.05, "max": 0.5}],
    }  # fmt: skip
    return tune_step(scope, batches(data), Limits(**limits), random.Random(1), tries(data))


def test_a_budget_is_proposed_where_outages_are_many_with_what_it_would_have_made_of_them() -> (
    None
):
    found = asked(table(outage(40, 40, 30)), ramp_units=400).candidate
    assert found is not None
    (line,) = found.diff
    assert (line["knob"], line["from"]) == ("retry.budget", None)
    assert 0.05 <= line["to"] <= 0.5
    told = found.evidence["outages"]
    assert told["tries_each"] == pytest.approx(5.0, abs=0.3)
    assert told["by_share"]["0.1"]["tries_each"] < 1.5
    assert "tries for each" in found.note
    effect = found.predicted["cost"]
    assert effect["lower"] < effect["median"] < effect["upper"] < 0.0


def test_a_trial_that_would_meet_no_outage_is_not_proposed_and_the_numbers_are_told() -> None:
    found = asked(table(outage(1400, 80, 2)))
    assert found.candidate is None
    (reason,) = found.reasons
    assert reason.reason in ("unprovable", "not_worthwhile", "too_uncertain")
    assert "failed together: 5 tries for each, 1." in reason.text


@pytest.mark.parametrize("fails", [0.0, 0.1, 0.3])
def test_errors_that_come_by_themselves_are_no_outage(fails: float) -> None:
    found = asked(table(outage(1200, 0, 1, fails=fails)))
    assert [one.reason for one in found.reasons] == ["not_worthwhile"]
    assert "did not fail together" in found.reasons[0].text


def test_what_a_larger_budget_would_bring_is_not_known() -> None:
    data = table(outage(40, 40, 10))
    assert [one.reason for one in asked(data, 0.05).reasons] == ["history_cannot_say"]
    over = pa.array([int(number == 5) for number in data.column("number").to_pylist()])
    (reason,) = asked(data.append_column("over_budget", over), 0.2).reasons
    assert reason.reason == "history_cannot_say"
    assert "its budget of 20% refused 400 tries" in reason.text


def test_a_budget_that_loses_more_work_than_it_saves_is_not_proposed() -> None:
    units = outage(60, 0, 1)
    brief: list[list[Try]] = [[("transient", 1.0), ("", 1.0)]] * 60
    found = asked(table((units + brief) * 10))
    assert [one.reason for one in found.reasons] == ["not_worthwhile"]
    assert "dearer than the tries it saves" in found.reasons[0].text


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.9))
@settings(max_examples=30)
def test_chance_alone_is_hardly_ever_an_outage(seed: int, share: float) -> None:
    failed = np.random.default_rng(seed).random(2000) < min(share, 0.45)
    assert together(failed).sum() <= 40


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=60),
       st.sampled_from([0.05, 0.1, 0.5, 1.0]))  # fmt: skip
@settings(max_examples=30)
def test_a_budget_keeps_every_first_try_and_never_one_after_a_refused_one(
    chains: list[tuple[int, bool]], share: float
) -> None:
    units = [[("transient", 1.0)] * (n - good) + [("", 1.0)] * good for n, good in chains]
    story = Story.of(tries(table(units)))
    kept = story.kept(share)
    assert kept[story.first].all()
    assert (kept & ~story.first).sum() <= share * story.first.sum()
    for unit in np.unique(story.unit):
        mine = kept[story.unit == unit]
        assert (np.diff(mine.astype(int)) <= 0).all()
