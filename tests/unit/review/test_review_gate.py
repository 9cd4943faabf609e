from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.review.bound import bound_hash, has_moved, owners
from control_plane.review.explain import explain
from control_plane.review.gate import Covered, Earlier, Scope, refusals, suppression
from control_plane.review.plan import Begin, block_items, even_block, frozen_plan, plan
from control_plane.review.policy import Bound, Deny, Policy
from control_plane.review.profiles import load
from runtime.playbook.model import Knob
from runtime.run.events import OverlayAppended, ProposalDrafted

VALUES = {
    "each.batch": 25, "each.in_flight": 2, "retry.attempts": 3, "timeout": 30.0, "runs_on": "a",
    "retry.on": ["transient", "timeout"],
}  # fmt: skip
SCOPE = Scope(
    "p", "s", "bound",
    VALUES, VALUES,
    (
        Knob("each.batch", 10, 1000), Knob("each.in_flight", 1, 8), Knob("retry.attempts", 1, 9),
        Knob("runs_on", choices=("a", "b")),
        Knob("retry.on", choices=("transient", "timeout")),
    ),
)  # fmt: skip
DEMO = load("demo")
GAIN = {"time": {"lower": -0.4, "median": -0.3, "upper": -0.2}}


def drafted(
    to: Any = 50, knob: str = "each.batch", cls: str = "batch", before: Any = 25,
    predicted: dict[str, Any] | None = None, evidence: dict[str, Any] | None = None,
) -> ProposalDrafted:  # fmt: skip
    return ProposalDrafted(
        "p-1", "change", "p", "s", cls, "time", [{"knob": knob, "from": before, "to": to}],
        {knob: before}, evidence or {"support": 1.0},
        GAIN if predicted is None else predicted, "opt", "key", "content",
    )  # fmt: skip


def trial(values: list[Any]) -> ProposalDrafted:
    return ProposalDrafted(
        "p-1", "experiment", "p", "s", "batch", "time",
        [{"knob": "each.batch", "from": 25, "values": values}], {"each.batch": 25},
        {"support": 0.0}, {}, "opt", "key", "content",
    )  # fmt: skip


def reasons(
    draft: ProposalDrafted, scope: Scope | None = SCOPE, policy: Policy = DEMO
) -> set[str]:
    return {refusal.reason.value for refusal in refusals(draft, scope, policy, {})}


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (drafted(50), None),
        (drafted(13), None),
        (drafted(51), "step_too_large"),
        (drafted(12), "step_too_large"),
        (drafted(5), "out_of_bounds"),
        (drafted(25), "no_change"),
        (drafted(40, before=30), "base_moved"),
        (drafted(True), "out_of_bounds"),
        (drafted(49.5), "out_of_bounds"),
        (drafted("50"), "out_of_bounds"),
        (drafted(float("nan")), "out_of_bounds"),
        (drafted(-50), "out_of_bounds"),
        (drafted(60.0, "timeout", "timeout", 30.0), "not_tunable"),
        (drafted(50, "gpu.count", "batch"), "mixed_knobs"),
        (drafted(4, "each.in_flight", "batch", 2), "mixed_knobs"),
        (drafted(5, "retry.attempts", "retry", 3), None),
        (drafted(6, "retry.attempts", "retry", 3), "step_too_large"),
        (drafted(7, "retry.attempts", "retry", 3), "out_of_bounds"),
        (drafted(["timeout"], "retry.on", "retry", ["transient", "timeout"]), None),
        (drafted([], "retry.on", "retry", ["transient", "timeout"]), None),
        (drafted(["data"], "retry.on", "retry", ["transient", "timeout"]), "out_of_bounds"),
        (drafted("b", "runs_on", "placement", "a"), None),
        (drafted("c", "runs_on", "placement", "a"), "out_of_bounds"),
        (drafted(predicted={}), "no_data"),
        (drafted(predicted={"cost": GAIN["time"]}), "no_data"),
        (drafted(predicted={"time": {"median": -0.3}}), "no_data"),
        (drafted(predicted={"time": {"lower": 0.1, "median": -0.3, "upper": 0.2}}), "no_data"),
        (drafted(predicted={"time": {"lower": -0.1, "median": -0.04, "upper": 0.0}}),
         "not_worthwhile"),
        (drafted(predicted={"time": {"lower": 0.1, "median": 0.3, "upper": 0.4}}),
         "not_worthwhile"),
        (drafted(evidence={"support": 0.5}), "insufficient_support"),
        (trial([50, 100, 200]), None),
        (trial([50, 201]), "step_too_large"),
        (trial([2]), "out_of_bounds"),
        (trial([25, 50]), "no_change"),
    ],
)  # fmt: skip
def test_each_guardrail_says_no_to_its_own(draft: ProposalDrafted, reason: str | None) -> None:
    found = reasons(draft)
    assert found == set() if reason is None else reason in found


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (drafted(["data", "lost"], "retry.on", "retry", ["timeout"]),
         "retry.on must be some of transient, timeout, not data, lost"),
        (drafted("c", "runs_on", "placement", "a"), "runs_on must be one of a, b, not c"),
        (drafted(49.5), "each.batch must be a whole number above 0, not 49.5"),
        (trial([50, -1]), "each.batch must be a whole number above 0, not -1"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_with_what_would(
    draft: ProposalDrafted, text: str
) -> None:
    assert text in [refusal.text for refusal in refusals(draft, SCOPE, DEMO, {})]


def test_scopes_that_are_unknown_or_denied_are_refused() -> None:
    assert reasons(drafted(), None) == {"unknown_scope"}
    system = replace(SCOPE, playbook="system/optimize")
    assert reasons(drafted(), system) == {"scope_denied"}
    denied = replace(DEMO, deny=(Deny(step="s", knob="each.*", why="month end"),))
    (refusal,) = refusals(drafted(), SCOPE, denied, {})
    assert "month end" in refusal.text


def test_a_step_whose_effect_happens_once_gets_no_retry_proposal() -> None:
    once = replace(SCOPE, effect="once")
    assert reasons(drafted(4, "retry.attempts", "retry", 3), once) == {"not_repeatable"}


def test_the_policys_bounds_hold_above_the_playbooks() -> None:
    narrow = replace(DEMO, bounds=(Bound("each.*", max=40),))
    assert reasons(drafted(50), policy=narrow) == {"out_of_bounds"}


def test_a_value_between_those_an_experiment_covered_may_be_one_step() -> None:
    covered = {"each.batch": Covered(25, 200)}
    assert refusals(drafted(200), SCOPE, DEMO, covered) == []
    (refusal,) = refusals(drafted(201), SCOPE, DEMO, covered)
    assert refusal.reason.value == "step_too_large"


def test_an_experiment_reaches_as_far_from_what_was_tried_as_from_the_stable_value() -> None:
    far = trial([640])
    assert reasons(far) == {"step_too_large"}
    assert refusals(far, SCOPE, DEMO, {"each.batch": Covered(25, 80)}) == []
    (refusal,) = refusals(far, SCOPE, DEMO, {"each.batch": Covered(25, 79)})
    assert refusal.reason.value == "step_too_large"


def test_no_ladder_of_experiments_leads_beyond_the_policys_bounds() -> None:
    bounded = replace(DEMO, bounds=(Bound("each.*", max=600),))
    covered = {"each.batch": Covered(25, 590)}
    assert refusals(trial([600]), SCOPE, bounded, covered) == []
    for beyond in (trial([601]), drafted(601)):
        told = {one.reason.value for one in refusals(beyond, SCOPE, bounded, covered)}
        assert "out_of_bounds" in told


@given(st.integers(1, 10_000))
def test_nothing_outside_the_bounds_or_beyond_the_step_ever_passes(value: int) -> None:
    if not reasons(drafted(value)):
        assert 10 <= value <= 1000
        assert 12.5 <= value <= 50


@pytest.mark.parametrize(
    ("past", "stays"),
    [
        (Earlier("p-0", "rejected", "risky", 0.0, "bound", GAIN, None), True),
        (Earlier("p-0", "rolled_back", "harm", 0.0, "other code", GAIN, None), False),
        (Earlier("p-0", "rolled_back", "harm", -31 * 86400.0, "bound", GAIN, None), False),
        (Earlier("p-0", "rolled_back", "harm", 0.0, "bound", GAIN, "r9"), False),
        (Earlier("p-0", "rejected", "risky", 0.0, "bound",
                 {"time": {"lower": -0.15, "median": -0.1, "upper": -0.05}}, None), False),
        (Earlier("p-0", "rejected", "risky", 0.0, "bound", {}, None), True),
    ],
)  # fmt: skip
def test_an_earlier_no_stays_until_code_time_regime_or_prediction_is_another(
    past: Earlier, stays: bool
) -> None:
    assert (suppression(drafted(), "bound", [past], DEMO, 86400.0) is past) is stays


@given(st.dictionaries(st.sampled_from(["each.batch", "each.in_flight"]), st.integers(1, 99)))
def test_only_a_proposals_own_keys_can_make_it_stale(stable: dict[str, int]) -> None:
    full = {"each.batch": 25, "each.in_flight": 2} | stable
    assert has_moved(drafted(), full) is (full["each.batch"] != 25)


def test_the_bound_hash_covers_diff_evidence_base_and_policy() -> None:
    one = bound_hash(drafted(), {"each.batch": 25}, "policy")
    others = [
        bound_hash(drafted(40), {"each.batch": 25}, "policy"),
        bound_hash(drafted(evidence={"support": 0.9}), {"each.batch": 25}, "policy"),
        bound_hash(drafted(), {"each.batch": 30}, "policy"),
        bound_hash(drafted(), {"each.batch": 25}, "another"),
        bound_hash(drafted().but(kind="experiment"), {"each.batch": 25}, "policy"),
        bound_hash(drafted().but(step="t"), {"each.batch": 25}, "policy"),
    ]
    assert one == bound_hash(drafted(), {"each.batch": 25}, "policy")
    assert len({one, *others}) == 7


def entry(proposal: str, knobs: dict[str, Any]) -> OverlayAppended:
    return OverlayAppended("p", "s", knobs, {}, "b", proposal, "a", "b")


def test_setting_a_change_back_gives_the_knob_back_to_whoever_had_it() -> None:
    one, two = entry("p-1", {"each.batch": 50}), entry("p-2", {"each.batch": 100})
    assert owners([one, two], "s") == {"each.batch": "p-2"}
    assert owners([one, two, entry("p-2", {"each.batch": 50})], "s") == {"each.batch": "p-1"}
    assert owners([one, entry("p-1", {"each.batch": None})], "s") == {}
    assert owners([one], "t") == {}


CONCURRENCY = drafted(4, "each.in_flight", "concurrency", 2)


@pytest.mark.parametrize(
    ("draft", "run_items", "expected"),
    [
        (drafted(50), 0, 50),
        (drafted(13), 0, 325),
        (drafted(26), 0, 416),
        (drafted(40), 0, 200),
        (trial([50, 100, 200]), 0, 200),
        (CONCURRENCY, 10_000, 500),
        (CONCURRENCY, 1_000, 250),
        (CONCURRENCY, 60, 25),
        (CONCURRENCY, 0, 500),
        (drafted(5, "retry.attempts", "retry", 3), 0, 25),
    ],
)
def test_a_block_holds_the_largest_arms_batch_or_alternating_ones_a_share_of_the_run(
    draft: ProposalDrafted, run_items: int, expected: int
) -> None:
    assert block_items(draft, SCOPE.stable, DEMO, run_items) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_a_block_is_whole_batches_of_the_largest_arm_and_even_for_the_others(
    sizes: list[int],
) -> None:
    block = even_block(sizes)
    assert block % max(sizes) == 0
    assert max(sizes) <= block <= 16 * max(sizes)
    if all(max(sizes) % size == 0 for size in sizes):
        assert block == max(sizes)


def test_a_plan_is_explained_stage_by_stage() -> None:
    stages = plan(drafted(50), DEMO)
    assert [type(stage).__name__ for stage in stages] == [
        "Queue", "Shadow", "Begin", "Ramp", "Watch", "Keep",
    ]  # fmt: skip
    said = explain(stages)
    assert len(said) == len(stages)
    assert said[2].startswith("stage 1: candidate with each.batch = 50")
    assert "candidate on 50% of the blocks, until 60 candidate blocks" in said[3]
    assert said[4] == "watch: passed through, the profile asks for none"
    production = explain(plan(drafted(50), load("production")))
    assert production[-2] == "watch for 168 h: candidate on 95% of the blocks"


def test_an_experiment_shares_evenly_and_changes_nothing() -> None:
    stages = plan(trial([50, 100, 200]), DEMO)
    begin = next(stage for stage in stages if isinstance(stage, Begin))
    assert begin.shares == {f"candidate.{i}": pytest.approx(0.2) for i in (1, 2, 3)}
    assert "no value is changed" in explain(stages)[-1]
    assert "alternate in drained blocks" in explain(plan(CONCURRENCY, DEMO))[2]


def test_the_demo_freezes_the_statistics_that_were_shown_to_be_enough() -> None:
    frozen = frozen_plan(drafted(50), DEMO)
    assert [(s.share, s.min_candidates) for s in frozen.ramp] == [(0.1, 10), (0.5, 60)]
    assert (frozen.harm_alpha, frozen.gain_alpha, frozen.min_gain) == (0.05, 0.05, 0.05)
    assert (frozen.min_units, frozen.noninferiority, frozen.horizon_runs) == (30, 0.05, 10)
    assert frozen_plan(CONCURRENCY, DEMO).min_pairs == 8


@pytest.mark.parametrize(
    ("trial_of", "knob_class", "batches", "lost_s"),
    [
        ({"batches": 12, "lost_s": 2.0}, "retry", 12, 2.0),
        ({"batches": 10**9, "lost_s": -1.0}, "retry", 16, 0.0),
        ({"batches": "many", "lost_s": "much"}, "retry", 1, 0.0),
        ({"batches": 12, "lost_s": 2.0}, "batch", 1, 0.0),
        ({}, "retry", 1, 0.0),
    ],
)
def test_a_trial_about_single_tries_has_blocks_of_several_and_counts_what_is_lost(
    trial_of: dict[str, object], knob_class: str, batches: int, lost_s: float
) -> None:
    knob = "retry.attempts" if knob_class == "retry" else "each.batch"
    draft = drafted(5, knob, knob_class, 3, evidence={"trial": trial_of})
    frozen = frozen_plan(draft, DEMO)
    about_tries = knob_class == "retry"
    assert (frozen.failures, frozen.rescues) == (
        "final" if about_tries else "first", not about_tries,
    )  # fmt: skip
    assert frozen.lost_s == lost_s
    said = " ".join(explain(plan(draft, DEMO)))
    assert ("fails for good counts as 2 s more" in said) == (lost_s > 0.0)
    assert block_items(draft, SCOPE.stable, DEMO, 0) == 25 * batches


@pytest.mark.parametrize(("batches", "slow"), [(1, 0.1), (2, 0.2), (3, 0.4), (90, 0.8)])
def test_what_is_slow_is_frozen_for_the_nearest_number_of_batches_in_a_block(
    batches: int, slow: float
) -> None:
    by_batches = {"1": 0.1, "2": 0.2, "4": 0.4, "8": 0.8}
    draft = drafted(evidence={"trial": {"slow_s_per_item_by_batches": by_batches}})
    assert frozen_plan(draft, DEMO, batches).slow_s_per_item == slow
