"""What single tries say of retries, timeouts and hedges: planted truths, and refusals."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.review.policy import describe
from control_plane.review.policy_file import parse
from optimizer.evidence import batches, is_intact
from optimizer.guard import Limits
from optimizer.models.chains import by_class
from optimizer.models.durations import Durations, kaplan_meier
from optimizer.models.recovery import ANYTHING, CHANCES
from optimizer.proposal import Candidate
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step

ON = ["transient", "timeout", "throttled"]
DEFAULTS = {"retry.attempts": 3, "retry.on": ON, "timeout": 600.0, "hedge": 500.0}
TUNE: dict[str, dict[str, Any]] = {
    "retry.attempts": {"min": 1, "max": 12},
    "retry.on": {"choices": ON},
    "retry.initial": {"min": 0.1, "max": 60.0},
    "timeout": {"min": 0.001, "max": 600.0},
    "hedge": {"min": 0.001, "max": 600.0},
}
Try = tuple[str, float]
"""The class of error ("" for a success), and the seconds."""


def table(units: list[list[Try]], work: list[float] | None = None, scale: float = 1.0) -> pa.Table:
    """Return the record of these units, forty a run, one batch each."""
    rows, at = [], 0.0
    for number, chain in enumerate(units):
        for turn, (error, seconds) in enumerate(chain, 1):
            last = turn == len(chain)
            rows.append({
                "attempt": f"r{number // 40}/s/{number % 40}/{turn}", "run": f"r{number // 40}",
                "version": "v", "batch": number % 40, "block": -1, "number": turn,
                "outcome": {"": "succeeded", "timeout": "timed_out"}.get(error, "failed"),
                "error_class": error, "retried": int(not last), "run_s": seconds * scale,
                "items": 10, "cost_usd": seconds * scale / 3600, "scheduled_at": at,
                "at": at + seconds * scale, "batch_size": 10, "in_flight": 1, "experiment": "",
                "arm": "", "share": None, "bytes_in": int(work[number]) if work else 100,
            })  # fmt: skip
            at += seconds * scale
    return pa.Table.from_pylist(rows)


def tuned(data: pa.Table, knob: str, seed: int = 1, **defaults: Any) -> Tuned:
    scope = {
        "playbook": "p", "step": "s", "effect": "idempotent", "objective": "cost",
        "defaults": {**DEFAULTS, **defaults}, "tune": [{"name": knob, **TUNE[knob]}],
    }  # fmt: skip
    return tune_step(scope, batches(data), Limits(), random.Random(seed), tries(data))


def proposed(data: pa.Table, knob: str, **more: Any) -> Candidate:
    found = tuned(data, knob, **more)
    assert found.candidate is not None, found.reasons
    return found.candidate


def refusal(data: pa.Table, knob: str, **more: Any) -> str:
    found = tuned(data, knob, **more)
    assert found.candidate is None, found.candidate
    return found.reasons[0].reason


def failing(chance: float, n: int, most: int, error: str, rng: np.random.Generator) -> list[Any]:
    """Units whose tries fail independently, up to ``most`` tries."""
    units = []
    for _ in range(n):
        chain: list[Try] = []
        while len(chain) < most and (not chain or chain[-1][0]):
            chain.append((error, 1.0) if rng.random() < chance else ("", 1.0))
        units.append(chain)
    return units


# ---- retries ------------------------------------------------------------------------------


def test_a_limit_below_what_transient_errors_need_is_raised() -> None:
    units = failing(0.4, 800, 2, "transient", np.random.default_rng(1))
    found = proposed(table(units), "retry.attempts", **{"retry.attempts": 2})
    assert found.diff[0]["to"] > 3
    assert found.evidence["best"]["value"] >= found.diff[0]["to"]
    now, then = found.evidence["retry"]["fail_for_good"]
    assert then < now == pytest.approx(0.16, abs=0.03)
    assert is_intact(found.evidence)


def test_second_tries_on_a_cold_worker_leave_timeouts_beyond_what_they_take() -> None:
    chance = np.random.default_rng(5)
    units: list[list[Try]] = []
    for _ in range(600):
        first = float(chance.gamma(20.0, 0.0025))
        if chance.random() < 1 / 15:
            units.append([("timeout", 2.0), ("", 0.15 + float(chance.gamma(20.0, 0.0015)))])
        else:
            units.append([("", first)])
    found = proposed(table(units), "timeout", timeout=2.0)
    assert 0.15 < found.diff[0]["to"] < 2.0
    slow = [[("timeout", 2.0), ("", 1.9)] if len(one) > 1 else one for one in units]
    assert refusal(table(slow), "timeout", timeout=2.0) == "not_worthwhile"


def test_a_timeout_that_second_tries_on_a_cold_worker_would_not_survive_is_not_proposed() -> None:
    chance = np.random.default_rng(6)
    units: list[list[Try]] = []
    for _ in range(1600):
        if chance.random() < 1 / 15:  # one second try in six is of a worker that is not up yet
            cold = chance.random() < 1 / 6
            units.append([("timeout", 2.0), ("", 1.0 if cold else 0.05)])
        else:
            units.append([("", float(chance.gamma(20.0, 0.0025)))])
    found = tuned(table(units), "timeout", timeout=2.0).candidate
    assert found is None or found.diff[0]["to"] > 1.0


def test_a_timeout_between_what_is_quick_and_what_hangs_is_found_though_no_try_ended_there() -> (
    None
):
    chance = np.random.default_rng(8)
    units: list[list[Try]] = [
        [("timeout", 9.0), ("", 0.04)] if chance.random() < 1 / 15
        else [("", float(chance.gamma(400.0, 0.0001)))]
        for _ in range(800)
    ]  # fmt: skip
    scope = {
        "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": 9.0},
        "tune": [{"name": "timeout", "min": 0.5, "max": 30.0}],
    }  # fmt: skip
    data = table(units)
    told = tune_step(scope, batches(data), Limits(), random.Random(1), tries(data))
    assert told.candidate is not None, told.reasons
    assert 0.5 <= told.candidate.diff[0]["to"] < 3.0


def test_a_raise_goes_no_further_than_one_change_may() -> None:
    units = failing(0.4, 800, 2, "transient", np.random.default_rng(1))
    data = table(units)
    scope = {
        "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "retry.attempts": 2},
        "tune": [{"name": "retry.attempts", "min": 1, "max": 12}],
    }  # fmt: skip
    limits = Limits.from_policy({"step_change": [["retry.attempts", "+2"]]})
    found = tune_step(scope, batches(data), limits, random.Random(1), tries(data)).candidate
    assert found is not None
    assert found.diff[0]["to"] == 4


def test_a_permanent_error_dressed_as_a_transient_one_is_not_tried_again() -> None:
    rng = np.random.default_rng(2)
    broken = [[("transient", 1.0)] * 3 if rng.random() < 0.3 else [("", 1.0)] for _ in range(400)]
    busy = failing(0.2, 400, 3, "throttled", rng)
    found = proposed(table(broken + busy), "retry.on")
    assert found.diff == [{"knob": "retry.on", "from": ON, "to": ["timeout", "throttled"]}]
    assert found.evidence["retry"]["classes"]["transient"]["never_succeeds"] > 0.8
    assert found.predicted["cost"]["median"] < -0.1


def test_errors_that_a_retry_helps_stay_as_they_are() -> None:
    units = failing(0.2, 600, 3, "transient", np.random.default_rng(3))
    assert refusal(table(units), "retry.on") == "not_worthwhile"


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        ([[("", 1.0)]] * 200, "not_worthwhile"),
        ([[("transient", 1.0), ("", 1.0)]] * 4 + [[("", 1.0)]] * 200, "too_little_history"),
        ([[("transient", 1.0)]] * 50 + [[("", 1.0)]] * 200, "history_cannot_say"),
    ],
)
def test_a_history_without_retries_says_nothing_of_them(
    units: list[list[Try]], reason: str
) -> None:
    assert refusal(table(units), "retry.attempts") == reason
    assert refusal(table(units), "retry.on") == reason


def test_ten_failures_in_a_row_are_enough_to_give_an_error_up() -> None:
    for price in (5.0, 20.0, 100.0):
        assert ANYTHING.given(failed=10, succeeded=0).best_limit(price, most=10) == 0


@given(st.integers(0, 30), st.integers(0, 30), st.floats(1, 200))
def test_more_successes_never_make_an_error_look_worse(lost: int, won: int, price: float) -> None:
    rates = ANYTHING.given(lost, won)
    assert ANYTHING.given(lost, won + 1).fails <= rates.fails + 1e-12
    assert 0.0 <= rates.never <= rates.fails <= 1.0
    assert 0 <= rates.best_limit(price, 10) <= 10
    lost_by_limit = [rates.lost(k) for k in range(6)]
    assert lost_by_limit == sorted(lost_by_limit, reverse=True)


def test_the_spread_of_many_units_is_found_again() -> None:
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(400) < 0.3, 1.0, 0.05)
    failed = rng.binomial(20, truth)
    found = ANYTHING.learn(failed, 20 - failed, strength=5.0)
    assert found.never == pytest.approx(0.3, abs=0.06)
    assert found.weights[(CHANCES > 0.02) & (CHANCES < 0.12)].sum() > 0.5


def test_units_are_counted_by_the_class_of_their_first_error() -> None:
    units: list[list[Try]] = [
        [("transient", 1.0), ("throttled", 1.0), ("", 1.0)],
        [("transient", 1.0)],
        [("", 1.0)],
    ]
    found = by_class(tries(table(units)))
    assert list(found) == ["transient"]
    assert (found["transient"].units, found["transient"].recovered) == (2.0, 1.0)


def outages(n: int, tau_s: float, rng: np.random.Generator) -> pa.Table:
    """Work that fails until its outage is over; waits double from 0.2 s, with full jitter."""
    rows, at = [], 0.0
    for number in range(n):
        over = at + (rng.exponential(tau_s) if number % 3 == 0 else -1.0)
        for turn in range(1, 13):
            good = at >= over or (tau_s > 1e6 and rng.random() < 0.5)
            rows.append({
                "attempt": f"r{number // 40}/s/{number}/{turn}", "run": f"r{number // 40}",
                "version": "v", "batch": number % 40, "block": -1, "number": turn,
                "outcome": "succeeded" if good else "failed", "retried": int(not good),
                "error_class": "" if good else "transient", "run_s": 1.0, "items": 10,
                "cost_usd": 1 / 3600, "scheduled_at": at, "at": at + 1.0, "batch_size": 10,
                "in_flight": 1, "experiment": "", "arm": "", "share": None, "bytes_in": 100,
            })  # fmt: skip
            at += 1.0
            if good:
                break
            at += 0.2 * 2.0 ** (turn - 1) * rng.random()
        at += 1.0
    return pa.Table.from_pylist(rows)


def test_where_failures_come_in_outages_the_first_wait_is_longer() -> None:
    data = outages(900, 30.0, np.random.default_rng(4))
    scope = {
        "playbook": "p", "step": "s", "tune": [{"name": "retry.initial", "min": 0.1, "max": 60.0}],
        "defaults": {**DEFAULTS, "retry.attempts": 12, "retry.initial": 0.2},
    }  # fmt: skip
    wide = Limits(ramp_units=400)  # a shorter trial would be too uncertain
    found = tune_step(scope, batches(data), wide, random.Random(1), tries(data)).candidate
    assert found is not None
    assert 0.8 <= found.diff[0]["to"] <= 60.0
    assert found.evidence["recovery"]["tau_s"] == pytest.approx(30.0, rel=0.5)
    assert found.predicted["cost"]["median"] < -0.1


@pytest.mark.parametrize("seed", range(3))
def test_where_waiting_does_not_help_the_first_wait_stays(seed: int) -> None:
    data = outages(500, 1e9, np.random.default_rng(seed))
    assert refusal(data, "retry.initial", **{"retry.initial": 0.2}) == "not_worthwhile"


# ---- timeouts and hedges ------------------------------------------------------------------


def two_speeds(n: int, rng: np.random.Generator) -> list[list[Try]]:
    """Tries of about a second, but one in fifteen hangs for a minute."""
    quick = rng.gamma(20.0, 1 / 20.0, n)
    return [[("", float(q if rng.random() > 1 / 15 else q + 60.0))] for q in quick]


def memoryless(n: int, rng: np.random.Generator) -> list[list[Try]]:
    """Tries whose time still to come is the same however long they have taken."""
    return [[("", float(s))] for s in rng.exponential(2.0, n)]


KNOBS = ("timeout", "hedge")


@pytest.mark.parametrize("knob", KNOBS)
def test_a_try_that_hangs_is_given_up_soon_after_all_others_are_done(knob: str) -> None:
    found = proposed(table(two_speeds(800, np.random.default_rng(5))), knob)
    assert 1.0 < found.diff[0]["to"] < 10.0
    low, middle, high = (found.predicted["cost"][k] for k in ("lower", "median", "upper"))
    again = 1.0 if knob == "timeout" else 2.0 * (1.0 + 60 / 15)  # both tries are paid for
    truth = (14 / 15 + (found.diff[0]["to"] + again) / 15) / (1.0 + 60 / 15) - 1.0
    assert low < middle < high < -0.05
    assert middle == pytest.approx(truth, abs=0.08)
    assert found.evidence["luck"]["still_to_come_s"]["at_value"] > 20.0


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("seed", range(4))
def test_where_waiting_does_not_make_it_worse_nothing_is_proposed(knob: str, seed: int) -> None:
    data = table(memoryless(400, np.random.default_rng(seed)))
    assert refusal(data, knob, seed=seed) == "not_worthwhile"


@pytest.mark.parametrize("knob", KNOBS)
def test_what_more_work_explains_is_no_bad_luck(knob: str) -> None:
    rng = np.random.default_rng(6)
    work = np.exp(rng.normal(9.0, 1.5, 800))
    units: list[list[Try]] = [[("", float(w / 8000 * rng.gamma(30, 1 / 30)))] for w in work]
    assert refusal(table(units, list(work)), knob) == "not_worthwhile"


def test_work_that_was_slow_again_is_slow_and_not_unlucky() -> None:
    rng = np.random.default_rng(7)
    slow: list[list[Try]] = [[("timeout", 30.0), ("timeout", 30.0), ("", 25.0)]] * 40
    quick: list[list[Try]] = [[("", float(s))] for s in rng.gamma(20.0, 1 / 20.0, 600)]
    data = table(quick + slow)
    assert refusal(data, "timeout", timeout=30.0) == "not_worthwhile"


def test_a_step_that_is_not_tried_again_has_its_timeout_left_alone() -> None:
    data = table(two_speeds(300, np.random.default_rng(5)))
    assert refusal(data, "timeout", **{"retry.attempts": 1}) == "not_worthwhile"
    assert refusal(table(two_speeds(50, np.random.default_rng(5))), "timeout") == (
        "too_little_history"
    )


def test_a_try_that_was_cut_off_counts_as_one_that_would_have_taken_longer() -> None:
    times, alive = kaplan_meier(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1, 1, 0, 1], bool))
    assert times.tolist() == [1.0, 2.0, 3.0]
    assert alive == pytest.approx([0.75, 0.5, 0.0])
    cut = Durations.fit([1.0, 1.0, 2.0], [True, True, False], [1.0] * 3)
    assert cut.still(1.5) == pytest.approx(1 / 3)


POLICY = {
    "step_change": [["timeout", "x2"], ["retry.attempts", "+2"]], "explore": {"reach": "x8"},
    "ramp": [[0.5, 400]], "bounds": [{"knob": "retry.attempts", "min": 1, "max": 6}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("stable", "kind", "reason"),
    [(4.0, "experiment", ""), (10.0, "change", ""), (600.0, "experiment", "")],
)
def test_a_timeout_goes_as_far_as_one_change_may(stable: float, kind: str, reason: str) -> None:
    data = table(two_speeds(800, np.random.default_rng(5)))
    scope = {
        "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": stable},
        "tune": [{"name": "timeout", **TUNE["timeout"]}],
    }  # fmt: skip
    limits = Limits.from_policy(POLICY)
    found = tune_step(scope, batches(data), limits, random.Random(1), tries(data))
    assert (found.candidate.kind if found.candidate else "") == kind
    assert [one.reason for one in found.reasons] == ([reason] if reason else [])
    if kind == "change":
        assert found.candidate is not None
        assert found.candidate.diff[0]["to"] == stable / 2


def test_a_limit_goes_as_far_as_one_change_and_the_policy_s_bounds_allow() -> None:
    data = table(failing(0.4, 800, 2, "transient", np.random.default_rng(1)))
    for stable, to in ((1, 3), (2, 4), (3, 5)):
        scope = {
            "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "retry.attempts": stable},
            "tune": [{"name": "retry.attempts", "min": 1, "max": 12}],
        }  # fmt: skip
        limits = Limits.from_policy(POLICY)
        found = tune_step(scope, batches(data), limits, random.Random(1), tries(data)).candidate
        assert found is not None
        assert found.diff[0]["to"] == to
    closer = Limits.from_policy(POLICY | {"bounds": [{"knob": "retry.attempts", "max": 4}]})
    found = tune_step(scope, batches(data), closer, random.Random(1), tries(data)).candidate
    assert found is None or found.diff[0]["to"] == 4


def test_ends_of_a_policy_that_are_open_are_read_as_such() -> None:
    policy = parse("bounds:\n  - {knob: timeout, max: 30}\n  - {knob: each.batch, min: 5}\n")
    limits = Limits.from_policy(describe(policy))
    assert limits.within({"name": "timeout", "min": 1, "max": 90})["max"] == 30.0
    assert limits.within({"name": "each.batch", "max": 90}) == {
        "name": "each.batch", "min": 5.0, "max": 90.0,
    }  # fmt: skip


def far(last: list[dict[str, Any]]) -> Candidate:
    """The proposal where the best value is five times away, and one change goes twice as far."""
    units: list[list[Try]] = [[("", 1.0 if k % 12 else 41.0)] for k in range(900)]
    scope = {
        "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": 6.0}, "last": last,
        "tune": [{"name": "timeout", "min": 0.1, "max": 2.6}],
    }  # fmt: skip
    data, limits = table(units), Limits.from_policy(POLICY)
    found = tune_step(scope, batches(data), limits, random.Random(1), tries(data)).candidate
    assert found is not None
    return found


def test_a_value_too_far_for_one_change_is_tried_first_and_proposed_once_it_was() -> None:
    first = far([])
    assert (first.kind, first.predicted) == ("experiment", {})
    (line,) = first.diff
    learned = {"content": first.content, "state": "learned", "diff": [line]}
    then = far([learned])
    assert (then.kind, then.diff[0]["to"]) == ("change", line["values"][0])


def climbing(stable: float, units: list[list[Try]]) -> list[Candidate]:
    """What is proposed of a timeout, one after the other, all experiments without harm."""
    data, limits = table(units), Limits.from_policy(POLICY)
    told: list[Candidate] = []
    while len(told) < 9 and not (told and told[-1].kind == "change"):
        last = [{"content": c.content, "state": "learned", "diff": c.diff} for c in told]
        scope = {
            "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": stable},
            "tune": [{"name": "timeout", **TUNE["timeout"]}], "last": last,
        }  # fmt: skip
        found = tune_step(scope, batches(data), limits, random.Random(1), tries(data)).candidate
        assert found is not None
        told.append(found)
    return told


def test_steps_that_bring_nothing_by_themselves_lead_to_a_value_that_pays() -> None:
    told = climbing(600.0, two_speeds(800, np.random.default_rng(5)))
    values = [c.diff[0]["values"][0] for c in told[:-1]]
    assert values[0] == 75.0  # above all that hangs: it can only show that it does no harm
    assert "a step towards which is 75 s" in told[0].note
    reached = [600.0, *values]
    assert all(b >= a / 8.0 for a, b in itertools.pairwise(reached))
    assert told[-1].diff[0]["to"] == values[-1] < 10.0


def test_a_step_towards_a_value_stays_within_what_is_declared_and_what_did_no_harm() -> None:
    units = two_speeds(800, np.random.default_rng(5))

    def asked(last: list[dict[str, Any]], most: float) -> Tuned:
        scope = {
            "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": 600.0},
            "tune": [{"name": "timeout", "min": 0.01, "max": most}], "last": last,
        }  # fmt: skip
        data, limits = table(units), Limits.from_policy(POLICY)
        return tune_step(scope, batches(data), limits, random.Random(1), tries(data))

    beyond = asked([], 70.0)  # the first step would go to 75 s
    assert (beyond.candidate, beyond.reasons[0].reason) == (None, "step_too_large")
    line = {"knob": "timeout", "from": 600.0, "values": [75.0, 10.0]}
    learned = {"content": "c", "state": "learned", "diff": [line]}
    dropped = asked([{**learned, "harmless": {"timeout": [75.0, 600.0]}}], 900.0).candidate
    assert dropped is not None
    assert (dropped.kind, dropped.diff[0].get("to")) == ("experiment", None)
    assert min(dropped.diff[0]["values"]) >= 75.0 / 8.0


def test_a_timeout_that_loses_work_may_be_made_longer_where_history_saw_longer_ones() -> None:
    rng = np.random.default_rng(5)

    def unit(limit: float) -> list[Try]:
        taken = rng.normal(0.95, 0.15, 3).clip(0.2)
        ended = np.flatnonzero(taken <= limit)
        cut: list[Try] = [("timeout", limit)] * int(ended[0] if len(ended) else 3)
        return [*cut, ("", float(taken[ended[0]]))] if len(ended) else cut

    scope = {
        "playbook": "p", "step": "s", "defaults": {**DEFAULTS, "timeout": 1.0},
        "tune": [{"name": "timeout", "min": 0.5, "max": 60.0}],
    }  # fmt: skip
    data = table([unit(1.0 if k % 2 else 60.0) for k in range(800)])  # it was cut down once
    told = tune_step(scope, batches(data), Limits(), random.Random(1), tries(data))
    assert told.candidate is not None, told.reasons
    assert told.candidate.diff[0]["to"] > 1.1


def test_a_timeout_that_cuts_all_that_hangs_is_known_to_be_too_long() -> None:
    rng = np.random.default_rng(5)
    units: list[list[Try]] = [
        [("timeout", 60.01)] * int(rng.random() < 1 / 15)
        + [("", float(rng.gamma(20.0, 1 / 20.0)))]
        for _ in range(800)
    ]
    found = proposed(table(units), "timeout", timeout=60.0)
    assert found.diff[0]["to"] < 10.0
    assert found.predicted["cost"]["median"] == pytest.approx(1.25 / 5.0 - 1.0, abs=0.1)
    assert found.evidence["luck"]["still_to_come_s"]["at_value"] > 20.0


@given(
    st.lists(st.tuples(st.floats(0.1, 9.0), st.booleans()), min_size=1, max_size=30),
    st.floats(0.0, 1.0),
)
def test_no_try_is_taken_to_end_where_nobody_saw_one_end(
    seen: list[tuple[float, bool]], chance: float
) -> None:
    seconds, whole = zip(*seen, strict=True)
    curve = Durations.fit(seconds, whole, [1.0] * len(seen))
    (drawn,) = curve.draw(np.array([chance]), np.ones(1))
    ends = [s for s, ended in seen if ended]
    cut = [s for s, ended in seen if not ended]
    last_was_seen = bool(ends) and max(ends) > max(cut, default=0.0)
    assert drawn in ends or (np.isinf(drawn) and not last_was_seen) or not ends
    assert 0.0 <= curve.remaining(0.0) <= max(seconds) * (1.0 + 1e-9)


# ---- laws ---------------------------------------------------------------------------------

Plant = Callable[[int, np.random.Generator], list[list[Try]]]


@pytest.mark.parametrize("knob", KNOBS)
@settings(max_examples=5)
@given(scale=st.floats(0.01, 9.0), seed=st.integers(0, 99))
def test_units_scale_out_and_the_order_of_rows_means_nothing(
    knob: str, scale: float, seed: int
) -> None:
    units = two_speeds(300, np.random.default_rng(seed))
    wide = {"timeout": 60000.0, "hedge": 60000.0}
    one = tuned(table(units), knob, **wide).candidate
    data = table(units, scale=scale)
    mixed = data.take(pa.array(np.random.default_rng(seed).permutation(data.num_rows)))
    two = tuned(mixed, knob, **wide).candidate
    assert one is not None
    assert two is not None
    assert two.diff[0]["to"] == pytest.approx(scale * one.diff[0]["to"], rel=0.1)
    assert two.predicted["cost"]["median"] == pytest.approx(
        one.predicted["cost"]["median"], abs=0.02
    )


@pytest.mark.parametrize("knob", ["retry.on", "timeout"])
def test_the_same_seed_gives_the_same_answer(knob: str) -> None:
    data = table(two_speeds(300, np.random.default_rng(1)))
    assert tuned(data, knob) == tuned(data, knob)


def test_what_is_proposed_lies_within_what_may_be() -> None:
    data = table(two_speeds(400, np.random.default_rng(8)))
    scope = {
        "playbook": "p", "step": "s", "defaults": DEFAULTS,
        "tune": [{"name": "timeout", "min": 20.0, "max": 600.0}],
    }  # fmt: skip
    found = tune_step(scope, batches(data), Limits(), random.Random(1), tries(data)).candidate
    assert found is None or 20.0 <= found.diff[0]["to"] <= 600.0
