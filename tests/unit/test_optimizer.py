"""What the optimizer says of a history, and what it refuses to say."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.constraints import together
from optimizer.effect import Effect
from optimizer.evidence import MissingColumns, batches, is_intact
from optimizer.guard import Limits, Reason, objections
from optimizer.knobs import CLASSES, Range, UnknownKnob, knob_class
from optimizer.models import concurrency, failures, service_time
from optimizer.models.levels import between_runs, from_pairs, within_runs
from optimizer.objective import choose
from optimizer.proposal import Candidate
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step

SCOPE: dict[str, Any] = {
    "playbook": "p", "step": "s", "version": "v1", "bound": "b", "effect": "idempotent",
    "objective": "cost", "defaults": {"each.batch": 25, "each.in_flight": 2}, "stable": {},
    "tune": [{"name": "each.batch", "min": 10, "max": 1000}], "last": [],
}  # fmt: skip


def attempts(*parts: dict[str, Any]) -> pa.Table:
    """Return the record's attempts: each part is ``n`` batches, its run and what is special."""
    rows, chance = [], random.Random(4)
    for part in parts:
        size = part.get("size", 25)
        for k in range(part.get("n", 200)):
            seconds = part.get("seconds", 0.06 + 0.0002 * size) * math.exp(chance.gauss(0, 0.2))
            rows.append({
                "attempt": f"{part['run']}/s/{size}-{k}/1", "run": part["run"],
                "version": part.get("version", "v1"), "batch": size * 10_000 + k,
                "block": k if part.get("experiment") else -1, "number": 1,
                "outcome": "failed" if chance.random() < part.get("fails", 0.0) else "succeeded",
                "retried": 0, "run_s": seconds, "items": size, "cost_usd": seconds / 3600,
                "scheduled_at": 1000.0 + k, "at": 1000.0 + k + seconds, "batch_size": size,
                "in_flight": part.get("in_flight", 2), "experiment": part.get("experiment", ""),
                "arm": part.get("arm", ""), "share": None,
            } | part.get("also", {}))  # fmt: skip
    return pa.Table.from_pylist(rows)


def explored(*values: int, **more: Any) -> list[dict[str, Any]]:
    """Return an experiment's parts: a control, and an arm for each value."""
    arms = [
        {"run": f"r{k}", "size": v, "n": 12, "experiment": "x", "arm": f"candidate.{v}", **more}
        for k in range(2)
        for v in values
    ]
    control = [{"run": f"r{k}", "n": 100, "experiment": "x", "arm": "control"} for k in range(2)]
    return [*control, *arms]


def tuned(table: pa.Table, **scope: Any) -> Tuned:
    return tune_step({**SCOPE, **scope}, batches(table), Limits(), random.Random(1))


# ---- what it proposes ---------------------------------------------------------------------


def test_one_batch_size_in_history_leads_to_an_experiment_and_to_no_change() -> None:
    found = tuned(attempts({"run": "r1"}, {"run": "r2"})).candidate
    assert found is not None
    assert (found.kind, found.predicted) == ("experiment", {})
    assert found.diff == [{"knob": "each.batch", "from": 25, "values": [50, 100, 200]}]
    assert found.evidence["reason"] == "history_cannot_say"


def test_values_that_were_tried_lead_to_a_change_with_an_interval() -> None:
    found = tuned(attempts(*explored(50, 100, 200))).candidate
    assert found is not None
    assert (found.kind, found.objective) == ("change", "cost")
    assert found.diff == [{"knob": "each.batch", "from": 25, "to": 200}]
    low, middle, high = (found.predicted["cost"][k] for k in ("lower", "median", "upper"))
    truth = (0.1 / 200) / (0.065 / 25) - 1
    assert low < middle < high < -0.05
    assert low < truth < high
    assert high - low <= 0.30


def test_runs_too_small_for_a_trial_are_said_to_be() -> None:
    told = tuned(attempts({"run": "r1", "n": 30}, {"run": "r2", "n": 30}))
    assert told.candidate is None
    assert "leaves a run enough units for a trial" in told.reasons[0].text


def test_a_size_that_ran_on_other_days_alone_is_said_not_to_be_comparable() -> None:
    runs = [
        {
            "run": f"r{n}", "n": 8, "size": 25 if n < 4 else 50,
            "also": {"scheduled_at": 1e6 * n, "at": 1e6 * n + 1.0},
        }
        for n in range(8)
    ]  # fmt: skip
    told = tuned(attempts(*runs))
    assert told.candidate is None
    assert "50 was run too little beside 25" in told.reasons[0].text


def test_what_the_policy_bounds_is_neither_proposed_nor_asked_about() -> None:
    bounded = Limits(bounds={"each.batch": (1.0, 120.0)})
    for parts in (explored(50, 100, 200), [{"run": "r1"}, {"run": "r2"}]):
        found = tune_step(SCOPE, batches(attempts(*parts)), bounded, random.Random(1)).candidate
        assert found is not None
        (line,) = found.diff
        assert max(line.get("values") or [line["to"]]) == 100


def test_a_value_whose_batches_fail_is_left_alone_and_caps_what_is_asked() -> None:
    parts = [*explored(50), *explored(100, fails=0.6)]
    found = tuned(attempts(*parts)).candidate
    assert found is not None
    assert found.diff == [{"knob": "each.batch", "from": 25, "to": 50}]
    assert list(found.evidence["harmful"]) == ["100"]
    after = tuned(attempts(*parts), stable={"each.batch": 50}, last=[])
    assert after.candidate is None or after.candidate.diff[0].get("to", 0) <= 50


def test_a_size_that_would_break_the_slo_is_neither_proposed_nor_asked_about() -> None:
    table = attempts(*explored(50, 100, 200))
    slow = tuned(table, slo={"p95_s": 0.13}).candidate  # 200 take 0.1 s, 5% of them 0.14 s
    assert slow is not None
    assert slow.diff[0]["to"] == 100
    assert "longer than 0.13 s" in slow.evidence["harmful"]["200"]
    none = tuned(attempts({"run": "r1"}), slo={"p95_s": 0.093}).candidate
    assert none is None or max(none.diff[0]["values"]) < 200


def test_a_size_that_the_step_s_own_timeout_would_cut_off_is_left_alone() -> None:
    table = attempts(*explored(50, 100, 200))

    def within(timeout_s: float) -> Tuned:
        scope = {**SCOPE, "stable": {"timeout": timeout_s}}
        return tune_step(scope, batches(table), Limits(), random.Random(1), tries(table))

    short, long = within(0.12).candidate, within(10.0).candidate
    assert short is not None
    assert short.diff[0]["to"] == 100  # 5% of those of 200 take 0.14 s
    assert "cut off by the timeout of 0.12 s" in short.evidence["harmful"]["200"]
    assert long is not None
    assert long.diff[0]["to"] == 200


def test_a_size_that_would_need_too_much_memory_is_left_alone() -> None:
    grown = [
        {**part, "also": {"rss_peak": 1_000_000 * part.get("size", 25)}}
        for part in explored(50, 100, 200)
    ]
    table = attempts(*grown)
    found = tune_step(
        {**SCOPE, "memory_bytes": 150_000_000}, batches(table), Limits(), random.Random(1),
        tries(table),
    ).candidate  # fmt: skip
    assert found is not None
    assert found.diff[0]["to"] == 100
    assert "200 of 150 MB" in found.evidence["harmful"]["200"]


def test_values_of_two_knobs_keep_together_what_a_run_and_its_limits_allow() -> None:
    now = {"defaults": {"each.batch": 25, "each.in_flight": 4}}
    assert together(now, "each.batch", [50, 100, 200], run_items=400) == {
        200: "4 batches of 200 at once are more than the 400 items of a run"
    }
    capped = {**now, "most_in_flight": 6}
    assert list(together(capped, "each.in_flight", [6, 8], run_items=4000)) == [8]
    asked = tuned(attempts({"run": "r1"}), most_in_flight=2, tune=[
        {"name": "each.in_flight", "min": 1, "max": 16}
    ])  # fmt: skip
    assert asked.candidate is None
    assert "lets through 2 at once" in asked.reasons[0].text


def test_no_worthwhile_value_is_an_answer() -> None:
    flat = [{**part, "seconds": 0.003 * part.get("size", 25)} for part in explored(50, 100, 200)]
    found = tuned(attempts(*flat))
    assert found.candidate is None
    assert [reason.reason for reason in found.reasons] == ["not_worthwhile"]


def test_the_same_change_is_not_proposed_again_once_it_was_turned_down() -> None:
    table = attempts(*explored(50, 100, 200))
    first = tuned(table).candidate
    assert first is not None
    last = [{"content": first.content, "state": "rolled_back"}]
    again = tuned(table, last=last).candidate
    assert again is None or again.content != first.content


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"live": True}, "live"),
        ({"effect": "once"}, "effect_once"),
        ({"tune": []}, "not_tunable"),
        ({"tune": [{"name": "timeout"}]}, "no_history"),
        ({"tune": [{"name": "runs_on"}]}, "not_tunable"),
        ({"tune": [{"name": "each.colour"}]}, "not_tunable"),
        ({"stable": {"each.batch": 400}}, "too_little_history"),
    ],
)
def test_a_step_that_cannot_be_tuned_has_a_reason(scope: dict[str, Any], reason: str) -> None:
    found = tuned(attempts({"run": "r1"}), **scope)
    assert found.candidate is None
    assert [one.reason for one in found.reasons] == [reason]


def test_concurrency_is_asked_about_first_and_one_value_at_a_time() -> None:
    tune = [*SCOPE["tune"], {"name": "each.in_flight", "min": 1, "max": 8}]
    found = tuned(attempts({"run": "r1"}, {"run": "r2"}), tune=tune).candidate
    assert found is not None
    assert found.objective == "time"
    assert found.diff == [{"knob": "each.in_flight", "from": 2, "values": [4]}]


def test_without_costs_the_objective_is_time() -> None:
    parts = [{**part, "also": {"cost_usd": None}} for part in explored(50, 100, 200)]
    found = tuned(attempts(*parts)).candidate
    assert found is not None
    assert found.objective == "time"
    assert choose("batch", "cost", 0.97) == "time"


@pytest.mark.parametrize("cost", [0.0, None])
def test_what_costs_nothing_or_is_unknown_is_no_objective_and_no_crash(cost: float | None) -> None:
    parts = [{**part, "also": {"cost_usd": cost}} for part in explored(50, 100, 200)]
    found = tuned(attempts(*parts)).candidate
    assert found is not None
    assert found.objective == "time"


def test_a_stable_value_without_any_cost_is_a_reason() -> None:
    parts = [*explored(50, 100), {"run": "r9", "size": 75, "n": 12000}]
    parts = [p if p.get("arm") != "control" else {**p, "also": {"cost_usd": None}} for p in parts]
    assert [r.reason for r in tuned(attempts(*parts)).reasons] == ["cost_coverage"]


def test_a_step_that_is_no_each_has_a_reason_and_no_warning() -> None:
    none = {"batch": -1, "batch_size": None, "in_flight": None, "block": None}
    found = tuned(
        attempts({"run": "r1", "n": 40, "also": none}, {"run": "r2", "n": 1}),
        defaults={"retry.attempts": 3}, tune=[{"name": "retry.attempts", "min": 1, "max": 6}],
    )  # fmt: skip
    assert [r.reason for r in found.reasons] == ["no_history"]


# ---- what it will not be told -------------------------------------------------------------


def test_large_batches_on_small_workloads_alone_are_no_evidence() -> None:
    small = [{"run": f"a{k}", "size": 100, "n": 10} for k in range(4)]
    large = [{"run": f"b{k}", "n": 300} for k in range(4)]
    found = tuned(attempts(*small, *large)).candidate
    assert found is not None
    assert found.kind == "experiment"


def test_runs_of_equal_size_may_be_compared_when_there_are_enough() -> None:
    mine = [{"run": f"a{k}", "size": 50, "n": 100} for k in range(4)]
    base = [{"run": f"b{k}", "n": 200} for k in range(4)]
    found = tuned(attempts(*mine, *base)).candidate
    assert found is not None
    assert found.evidence["causal"]["method"] == "between runs"
    assert found.diff == [{"knob": "each.batch", "from": 25, "to": 50}]


def test_what_cannot_be_true_is_put_aside_and_counted() -> None:
    table = attempts({"run": "r1", "n": 50}, {"run": "r2", "n": 1, "also": {"run_s": -5.0}})
    found = batches(pa.concat_tables([table, table.slice(0, 3)]))
    assert len(found) == 50
    assert (found.quality.impossible, found.quality.duplicates) == (1, 3)


def test_a_batch_that_is_still_being_tried_does_not_count() -> None:
    table = attempts({"run": "r1", "n": 5}, {"run": "r2", "n": 2, "also": {"retried": 1}})
    found = batches(table)
    assert (len(found), found.quality.unfinished) == (5, 2)


def test_all_tries_of_a_batch_are_paid_for() -> None:
    first = {"run": "r1", "n": 1, "also": {"outcome": "failed", "retried": 1, "run_s": 1.0}}
    second = {"run": "r1", "n": 1, "also": {"attempt": "again", "number": 2, "run_s": 2.0}}
    found = batches(attempts(first, second))
    assert (len(found), found.seconds[0]) == (1, 3.0)
    assert (bool(found.retried[0]), bool(found.failed[0])) == (True, False)


def test_missing_columns_are_named() -> None:
    with pytest.raises(MissingColumns, match="the attempts lack share"):
        batches(attempts({"run": "r1"}).drop_columns(["share"]))


def test_an_empty_history_is_empty() -> None:
    assert len(batches(attempts({"run": "r1"}).slice(0, 0))) == 0


# ---- the record ---------------------------------------------------------------------------


def test_the_same_history_gives_the_same_evidence_and_any_edit_shows() -> None:
    table = attempts(*explored(50, 100, 200))
    one, two = tuned(table).candidate, tuned(table).candidate
    assert one is not None
    assert one == two
    evidence = json.loads(json.dumps(one.evidence))
    assert is_intact(evidence)
    evidence["window"]["runs"] += 1
    assert not is_intact(evidence)


def test_a_candidate_survives_its_json() -> None:
    found = tuned(attempts({"run": "r1"})).candidate
    assert found is not None
    again = Candidate.from_json(json.loads(json.dumps(found.to_json())))
    assert (again, again.key, again.content) == (found, found.key, found.content)


# ---- the models ---------------------------------------------------------------------------


def test_every_knob_has_a_class_and_no_other_name_is_one() -> None:
    assert {knob_class(name) for name in CLASSES} >= {"batch", "concurrency", "retry"}
    with pytest.raises(UnknownKnob, match=r"each\.batch"):
        knob_class("each.size")


@given(st.integers(1, 500), st.lists(st.floats(0.1, 10), min_size=1, max_size=4))
def test_scaled_values_stay_in_range_and_differ(value: int, factors: list[float]) -> None:
    knob = Range("each.batch", 10, 400)
    found = knob.scaled(value, tuple(factors))
    assert all(10 <= v <= 400 and v != value for v in found)


@given(st.floats(0.001, 1), st.floats(1e-5, 0.01))
def test_a_line_is_found_again(fixed: float, per_item: float) -> None:
    sizes = [25, 50, 100, 200]
    curve = service_time.fit(sizes, [fixed + per_item * n for n in sizes], [9] * 4)
    assert curve.seconds(400) == pytest.approx(fixed + per_item * 400, rel=0.02)


def test_one_point_is_no_curve() -> None:
    with pytest.raises(ValueError, match="at least two"):
        service_time.fit([25, 25], [0.1, 0.1], [1, 1])
    with pytest.raises(ValueError, match="at least two"):
        concurrency.fit([2], [1.0], [1])


def test_failures_grow_with_size_where_they_do() -> None:
    risk = failures.fit([25, 100, 400], [4, 4, 30], [400, 400, 50])
    assert risk.chance(25) < 0.05 < risk.chance(400)
    flat = failures.fit([25, 100], [0, 0], [400, 400])
    assert flat.chance(25) == flat.chance(1000) < 0.01


def test_a_slow_run_does_not_make_a_size_look_slow() -> None:
    run = np.repeat(["quick", "slow"], 60)
    value = np.r_[np.repeat(25, 50), np.repeat(50, 10), np.repeat(25, 10), np.repeat(50, 50)]
    y = np.where(run == "slow", 1.0, 0.0) + np.where(value == 50, -0.5, 0.0)
    level = within_runs(run, value, y + np.random.default_rng(1).normal(0, 0.01, 120), 25)[50]
    assert level.log == pytest.approx(-0.5, abs=0.02)
    assert level.naive > 0.0


def test_values_that_never_met_are_joined_by_a_third() -> None:
    run = np.array(["a"] * 20 + ["b"] * 20)
    value = np.array([25, 50] * 10 + [50, 100] * 10)
    y = {25: 0.0, 50: -0.5, 100: -0.9}
    logs = np.array([y[v] for v in value]) + np.where(run == "b", 3.0, 0.0)
    levels = within_runs(run, value, logs, 25)
    assert levels[100].log == pytest.approx(-0.9)
    assert within_runs(run[20:], value[20:], logs[20:], 25) == {}


def test_too_few_runs_are_not_compared() -> None:
    run, value = np.array(["a", "b"]), np.array([25, 50])
    assert between_runs(run, value, np.array([0.0, -1.0]), {"a": 9.0, "b": 9.0}, 25) == {}


def test_pairs_chain_and_one_wild_pair_moves_little() -> None:
    value = np.array([4] * 9 + [6] * 9)
    control = np.array([2] * 9 + [4] * 9)
    chance = np.random.default_rng(2)
    difference = np.where(value == 4, -0.7, -0.3) + chance.normal(0, 0.02, 18)
    difference[0] = 2.0
    levels = from_pairs(value, control, difference, 4)
    assert levels[6].log == pytest.approx(-0.3, abs=0.03)
    assert levels[2].log == pytest.approx(0.7, abs=0.06)
    assert from_pairs(value, control, difference, 8) == {}


# ---- the guard ----------------------------------------------------------------------------

SURE = Effect(log=-0.7, estimate_se=0.02, measurement_se=0.05, freedom=40)


@pytest.mark.parametrize(
    ("value", "effect", "covered", "code"),
    [
        (2000, SURE, True, "bounds"),
        (100, SURE, False, "history_cannot_say"),
        (50, Effect(-0.02, 0.005, 0.02, 40), True, "not_worthwhile"),
        (50, Effect(-0.2, 0.2, 0.02, 40), True, "not_worthwhile"),
        (50, Effect(-0.12, 0.01, 0.06, 40), True, "unprovable"),
        (50, Effect(-0.5, 0.2, 0.1, 40), True, "too_uncertain"),
    ],
)
def test_each_guardrail_says_no_by_name(
    value: int, effect: Effect, covered: bool, code: str
) -> None:
    knob = Range("each.batch", 10, 1000)
    found = objections(knob, 25, value, effect, Limits(), covered=covered)
    assert [name for name, _ in found] == [code]


def test_a_sure_gain_within_reach_meets_no_objection() -> None:
    assert objections(Range("each.batch", 10, 1000), 25, 50, SURE, Limits(), covered=False) == []


def test_an_interval_that_is_wide_is_no_objection_where_its_worse_end_is_a_clear_gain() -> None:
    wide = Effect(-0.7, 0.2, 0.2, 60)
    assert wide.width > 0.3 > -wide.interval()[2] > 0.15
    assert objections(Range("each.batch", 10, 1000), 25, 50, wide, Limits(), covered=True) == []


def test_the_best_of_many_has_to_be_surer() -> None:
    knob, effect = Range("each.batch", 10, 1000), Effect(-0.30, 0.22, 0.01, 60)
    assert objections(knob, 25, 50, effect, Limits(), covered=True)[0][0] == "too_uncertain"
    many = objections(knob, 25, 50, effect, Limits(), covered=True, compared=6)
    assert many[0][0] == "not_worthwhile"


def test_limits_are_read_from_a_policy() -> None:
    policy = {
        "min_worthwhile": 0.1, "step_change": [["each.batch", "x4"], ["retry.attempts", "+2"]],
        "ramp": [{"share": 0.1, "min_candidate": 7}, {"share": 0.5, "min_candidate": 99}],
        "verify": {"min_pairs": 14},
    }  # fmt: skip
    limits = Limits.from_policy(policy)
    assert (limits.min_gain, limits.ramp_units, limits.pairs) == (0.1, 99, 14)
    assert (limits.factor("each.batch"), limits.factor("each.in_flight")) == (4.0, 2.0)
    assert Limits.from_policy({}) == Limits()


def test_a_reason_reads_as_json() -> None:
    reason = Reason("p#s", "live", "a proposal of this step is under way")
    assert reason.to_json()["reason"] == "live"


@pytest.mark.parametrize("hedge_won", [True, False])
def test_tries_side_by_side_are_one_batch_and_the_one_that_decided_it_speaks(
    hedge_won: bool,
) -> None:
    (won,) = attempts({"run": "r", "n": 1}).to_pylist()
    beaten = won | {"attempt": won["attempt"] + ".1", "outcome": "cancelled", "retried": 1,
                    "scheduled_at": won["scheduled_at"] + (-9 if hedge_won else 9),
                    "at": won["at"] + 20.0}  # fmt: skip
    found = batches(pa.Table.from_pylist([won, beaten]))
    assert len(found) == 1
    assert found.seconds[0] == 2 * won["run_s"]
    assert (found.failed[0], found.retried[0], found.end[0]) == (False, False, won["at"])
    assert found.start[0] == min(won["scheduled_at"], beaten["scheduled_at"])
