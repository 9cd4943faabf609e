"""What a trial of a timeout shows of second tries counts for the next one, harm included."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.lessons import Lessons
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step

NOW = 0.3
LIMITS = Limits.from_policy({
    "step_change": [["timeout", "x2"]], "explore": {"reach": "x8"}, "ramp": [[0.5, 400]],
})  # fmt: skip
TRIAL = {
    "proposal": "p-1", "content": "c", "state": "learned", "harmless": {"timeout": [0.0375, NOW]},
    "diff": [{"knob": "timeout", "from": NOW, "values": [0.0375]}],
}  # fmt: skip


def unit(chance: np.random.Generator, cut: float, cold: float) -> list[float]:
    """The seconds of a unit's tries: one in fifteen hangs; after a cut the worker is cold."""
    taken: list[float] = []
    for turn in range(3):
        quick = float(chance.gamma(20.0, 0.0005)) + (cold if turn else 0.0)
        taken.append(min(cut, quick + (1.0 if chance.random() < 1 / 15 else 0.0)))
        if taken[-1] < cut:
            break
    return taken


def record(trial_cold: float, trial_cut: float = 0.0375) -> pa.Table:
    """History at 0.3 s, where a worker was always ready, and a trial, where it was not."""
    chance, rows, at = np.random.default_rng(7), [], 0.0
    for number in range(1600):
        tried = number >= 1200 and number % 2 == 0
        cut, cold = (trial_cut, trial_cold) if tried else (NOW, 0.0)
        arm = ("candidate.1" if tried else "control") if number >= 1200 else ""
        for turn, seconds in enumerate(unit(chance, cut, cold), 1):
            over = seconds >= cut
            rows.append({
                "attempt": f"r{number // 40}/s/{number % 40}/{turn}", "run": f"r{number // 40}",
                "version": "v", "batch": number % 40, "block": number % 40, "number": turn,
                "outcome": "timed_out" if over else "succeeded", "run_s": seconds,
                "error_class": "timeout" if over else "", "retried": int(over and turn < 3),
                "items": 1, "cost_usd": seconds, "scheduled_at": at, "at": at + seconds,
                "batch_size": 1, "in_flight": 4, "experiment": "x-1" if arm else "", "arm": arm,
                "share": 0.5 if arm else None, "bytes_in": 100,
            })  # fmt: skip
            at += seconds
    return pa.Table.from_pylist(rows)


def asked(data: pa.Table, *last: dict[str, Any], least: float = 0.005) -> Tuned:
    scope = {
        "playbook": "p", "step": "s", "effect": "idempotent", "objective": "time",
        "defaults": {"retry.attempts": 3, "retry.on": ["timeout"], "timeout": NOW},
        "tune": [{"name": "timeout", "min": least, "max": 30.0}], "last": list(last),
    }  # fmt: skip
    return tune_step(scope, batches(data), LIMITS, random.Random(1), tries(data))


def test_tries_of_a_candidate_are_told_apart_from_the_usual_ones() -> None:
    found = tries(record(0.0))
    assert set(found.trial.tolist()) == {""}
    assert found.tried is not None
    assert set(found.tried.trial.tolist()) == {"x-1/candidate.1"}
    assert len(np.unique(found.unit)) == 1400
    assert len(np.unique(found.tried.unit)) == 200


def test_second_tries_that_a_trial_saw_cut_again_leave_its_timeout_and_shorter_ones_alone() -> (
    None
):
    warm, cold = (asked(record(s), TRIAL, least=0.0375).candidate for s in (0.0, 0.1))
    assert warm is not None
    assert warm.diff[0].get("to", 1.0) < 0.06  # as far as it was tried, not one change's way
    assert warm.evidence["second_tries"]["timeout"] == 0.0375
    assert cold is not None
    assert cold.diff[0].get("to", 0.0) > 0.1  # nearer to what history ran than to the trial
    assert cold.evidence["second_tries"]["timeout"] is None


def test_a_value_just_below_one_that_was_tried_is_not_tried_by_itself() -> None:
    found = asked(record(0.0), TRIAL, least=0.031).candidate
    assert found is not None
    assert (found.kind, found.diff[0].get("to")) == ("change", 0.0375)
    alone = asked(record(0.0), least=0.031).candidate
    assert alone is not None
    assert alone.diff[0].get("to", 0.0) != 0.0375


def test_after_an_experiment_that_did_harm_what_is_left_is_proposed() -> None:
    line = {"knob": "timeout", "from": NOW, "values": [0.0194]}
    harmed = {"proposal": "p-2", "content": "d", "state": "rolled_back", "reason": "harm"}
    found = asked(record(0.0), TRIAL, {**harmed, "diff": [line]}).candidate
    assert found is not None
    assert found.kind == "change"
    assert 0.0194 < found.diff[0]["to"] <= NOW
    all_of_it = {**harmed, "diff": [{"knob": "timeout", "from": NOW, "values": [0.29]}]}
    told = asked(record(0.0), TRIAL, all_of_it)
    assert told.candidate is None
    assert "0.29 s did harm in its trial" in told.reasons[0].text


def test_a_value_next_to_one_that_was_not_proven_better_is_no_other_proposal() -> None:
    first = asked(record(0.1), TRIAL).candidate
    assert first is not None
    back = {"proposal": "p-2", "content": first.content, "state": "rolled_back",
            "reason": "inconclusive", "diff": first.diff}  # fmt: skip
    told = asked(record(0.1), TRIAL, back)
    value = first.diff[0]["to"]
    if told.candidate is not None:
        (line,) = told.candidate.diff
        (other,) = line.get("values") or [line["to"]]
        assert max(other / value, value / other) > 1.25
    else:
        assert f"{value:g} s was not proven better" in told.reasons[0].text


@pytest.mark.parametrize(
    ("state", "reason", "what"),
    [
        ("rolled_back", "inconclusive", "was not proven better"),
        ("rolled_back", "operator", "was taken back"),
        ("rejected", "risky", "was turned down"),
        ("failed", "simulated_worse", "was clearly worse in a replay of history"),
    ],
)
def test_what_became_of_a_neighbour_is_told_as_it_was(state: str, reason: str, what: str) -> None:
    line = {"knob": "timeout", "from": 8.0, "to": 4.0}
    lessons = Lessons.of([{"state": state, "reason": reason, "diff": [line]}], "timeout", 8.0)
    assert lessons.against(4.5) == f"4 s {what}, and 4.5 s is too near to be another"
    assert lessons.against(2.0) == ""


@given(
    st.floats(0.01, 100.0), st.lists(st.floats(0.01, 100.0), max_size=5), st.floats(0.01, 100.0)
)
def test_what_lies_beyond_a_harmful_value_is_left_alone_and_what_lies_before_it_is_not(
    stable: float, harmed: list[float], value: float
) -> None:
    last = [
        {"state": "rolled_back", "reason": "harm", "diff": [{"knob": "timeout", "to": one}]}
        for one in harmed
    ]
    beyond = any(value <= h < stable or stable < h <= value for h in harmed)
    assert bool(Lessons.of(last, "timeout", stable).against(value)) == beyond
    assert not Lessons.of(last, "hedge", stable).against(value)
