"""A retry budget keeps its share over every window, and what it held back is written down."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driven import OK, Driver, World, failed, mapped, step, world
from runtime.playbook.faults import PlaybookFaults
from runtime.playbook.model import Hedge, Knob, Repeat, Retry, compensation
from runtime.playbook.parse import parse
from runtime.run import events as ev
from runtime.run.budget import HELD, WINDOW, Budget, burst, earned
from runtime.run.decide import Decision, Ended
from runtime.run.retry import budget_in_force

LOST = Ended("", "lost", ev.Fault("lost", "killed"), facts={"worker": "w"})
shares = st.floats(0.001, 1.0)


def retries(
    share: float, ends: list[tuple[bool, bool]], tokens: float = 0.0
) -> list[bool]:  # fmt: skip
    """Which of these ends (a first try's, wants another) are followed by another try."""
    budget = Budget(tokens)
    return [budget.ended(share, first=first, wants=wants) for first, wants in ends]


@given(shares, st.lists(st.tuples(st.integers(1, 150), st.booleans(), st.booleans()), max_size=12))
def test_no_window_has_more_retries_than_what_is_held_and_the_share_of_its_first_tries(
    share: float, phases: list[tuple[int, bool, bool]]
) -> None:
    ends = [(first, wants) for count, first, wants in phases for _ in range(count)]
    again = list(accumulate(retries(share, ends, burst(share)), initial=0))
    first = list(accumulate((one for one, _ in ends), initial=0))
    # over the windows that end at each place: the least left over so far bounds them all
    most, low = burst(share) + 1e-6, 0.0
    for n, m in zip(first, again, strict=True):
        over = m - earned(share) * n
        low = min(low, over)
        assert over - low <= most


@given(st.floats(0.01, 1.0), st.integers(0, 3000))
def test_from_a_full_bucket_an_outage_of_a_window_is_within_the_share(
    share: float, quiet: int
) -> None:
    ends = [(True, False)] * quiet + [(True, True)] * WINDOW + [(False, True)] * WINDOW
    assert sum(retries(share, ends)) <= share * WINDOW + 1e-6


@given(shares, st.lists(st.tuples(st.booleans(), st.just(False)), max_size=50))
def test_what_fails_seldom_is_always_tried_again(
    share: float, quiet: list[tuple[bool, bool]]
) -> None:
    saved = [(True, False)] * (round(1.0 / earned(share)) + 1)
    assert retries(share, [*saved, *quiet, (True, True)])[-1]


def test_what_is_held_is_paid_for_out_of_the_share() -> None:
    assert burst(0.1) + earned(0.1) * WINDOW == pytest.approx(0.1 * WINDOW)
    assert burst(0.1) == pytest.approx(0.1 * WINDOW * HELD)


def test_what_was_tried_lately_is_of_the_last_two_windows() -> None:
    budget = Budget()
    for _ in range(5 * WINDOW + 3):
        budget.ended(0.001, first=True, wants=False)
    assert budget.told(0.001) == "the budget of 0.1% is spent; 1003 first tries, 0 retries lately"


def budgeted(share: float = 0.5, **kw: Any) -> Retry:
    return Retry(attempts=5, budget=share, **kw)


def test_a_failure_beyond_the_budget_is_final_and_its_fault_says_so() -> None:
    d = Driver(world(step("a", retry=budgeted(0.1))))
    d.run_out(lambda _: failed())
    (finished,) = d.of(ev.AttemptFinished)
    told = "no luck (no retry: the budget of 10% is spent; 1 first try, 0 retries lately)"
    assert (finished.retry_at, finished.over_budget, finished.fault.message) == (None, True, told)
    assert finished.fault.cls == "transient"
    assert d.of(ev.RunFailed)[0].fault.message == told


def test_a_step_of_many_batches_is_tried_again_within_its_share() -> None:
    d = Driver(mapped(200, 1, 8, allow=1.0, retry=budgeted(0.1)))
    d.run_out(lambda _: failed())
    tries = d.of(ev.AttemptFinished)
    assert 200 < len(tries) <= 1.1 * 200
    assert sum(f.over_budget for f in tries) == 200
    assert not any(f.over_budget and f.retry_at is not None for f in tries)


def test_runs_of_one_playbook_share_a_steps_budget() -> None:
    shared = world(step("a", retry=budgeted(0.1)))
    tries = []
    for _ in range(50):
        shared.at += 1
        d = Driver(World(shared.playbook, budgets=shared.budgets))
        d.run_out(lambda _: failed())
        tries += d.of(ev.AttemptFinished)
    assert 50 < len(tries) <= 55


def test_a_failure_that_would_not_be_tried_again_costs_nothing_and_says_nothing() -> None:
    for how in (failed("permanent"), replace(failed(), outcome="cancelled")):
        d = Driver(world(step("a", retry=budgeted())))
        d.run_out(lambda _, how=how: how)
        (finished,) = d.of(ev.AttemptFinished)
        assert (finished.over_budget, finished.fault.message) == (False, "no luck")


def test_a_lost_worker_costs_no_token_and_the_try_after_it_is_the_first() -> None:
    d = Driver(world(step("a", retry=budgeted(1.0))))
    for _ in range(3):
        d.end(d.flying()[0], LOST)
        d.world.at += 60
        d.act(Decision.due)
    assert d.world.budgets == {}
    d.run_out()
    assert d.world.budgets["a"].tokens == earned(1.0)
    assert d.state.status == "completed"


def test_a_try_and_its_hedge_earn_once_and_spend_once() -> None:
    d = Driver(world(step("a", retry=budgeted(1.0), hedge=Hedge(2.0))))
    d.world.budgets["a"] = Budget(tokens=1.0)
    (first,) = d.flying()
    d.act(lambda decision: decision.hedge(first.attempt))
    for tried in d.flying():
        d.end(tried, failed())
    assert d.world.budgets["a"].tokens == pytest.approx(earned(1.0))
    assert d.state.pauses


def test_the_next_round_of_a_repeated_step_is_no_retry() -> None:
    d = Driver(world(step("a", retry=budgeted(0.1), repeat=Repeat("done", 3, 1.0))))
    d.run_out(lambda t: replace(OK, result=t.number == 3))
    assert d.state.status == "completed"
    assert d.world.budgets["a"].told(0.1).endswith("3 first tries, 0 retries lately")


def test_a_step_without_a_budget_asks_for_none() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=5))))
    d.run_out(lambda _: failed())
    assert (len(d.of(ev.AttemptFinished)), d.world.budgets) == (5, {})


def test_what_undoes_a_step_has_no_budget() -> None:
    assert compensation(step("a", retry=budgeted())).retry == Retry(attempts=5)


def enrolled(knob: str, value: Any, **kw: Any) -> World:
    """A step on trial: half of its runs have another value of a knob."""
    found = world(step("a", retry=Retry(attempts=5, **kw)))
    found.layers.evolve(ev.ExperimentStarted(
        "e", "p-1", "p", "a", "retry", "run", {}, {"candidate": {knob: value}},
        {"candidate": 0.5}, salt="x", bound="h", block_items=0,
    ))  # fmt: skip
    return found


def play_many(shared: World, runs: int) -> list[ev.AttemptFinished]:
    tries = []
    for number in range(runs):
        d = Driver(World(shared.playbook, shared.layers, budgets=shared.budgets), run=f"r{number}")
        d.run_out(lambda _: failed())
        tries += d.of(ev.AttemptFinished)
    return tries


def test_an_overlay_gives_a_step_a_budget_and_an_override_takes_it_away() -> None:
    shared = world(step("a", retry=Retry(attempts=5)))
    assert sum(one.over_budget for one in play_many(shared, 20)) == 0
    set_ = ev.OverlayAppended("p", "a", {"retry.budget": 0.1}, {}, "h", "p-1", "x", "y")
    shared.layers.evolve(set_)
    told = play_many(shared, 20)
    assert (len(told), sum(one.over_budget for one in told)) == (21, 20)
    assert budget_in_force(Retry(budget=0.1), {"retry.budget": None}) is None


def test_the_arms_of_an_experiment_do_not_spend_each_others_tokens() -> None:
    shared = enrolled("retry.attempts", 2, budget=0.5)
    told = play_many(shared, 60)
    arms = {"a/e/control", "a/e/candidate"}
    assert arms <= set(shared.budgets)
    assert all(shared.budgets[arm].now[1] > 0 for arm in arms)
    assert any(one.over_budget for one in told)


def test_a_candidate_with_a_budget_is_held_to_it_and_the_control_is_not() -> None:
    shared = enrolled("retry.budget", 0.1)
    told = play_many(shared, 60)
    assert set(shared.budgets) == {"a/e/candidate"}
    over = [one for one in told if one.over_budget]
    assert 10 < len(over) < 50


def test_a_budget_that_shrinks_leaves_no_more_saved_than_it_allows() -> None:
    budget = Budget(tokens=burst(1.0))
    assert budget.ended(0.1, first=False, wants=True)
    assert budget.tokens == burst(0.1) - 1.0


def retry_of(text: str) -> Retry:
    head = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: a/b}\nworkflow:\n"
    tool = '- step: a\n  tool: {kind: python, call: "m:f"}\n'
    return parse(f"{head}{tool}  retry: {text}\n").steps[0].retry


def test_a_budget_is_written_as_a_share() -> None:
    assert retry_of("{attempts: 5, budget: 12.5%}") == Retry(attempts=5, budget=0.125)


def tune_of(text: str) -> Knob | None:
    head = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: a/b}\nworkflow:\n"
    tool = '- step: a\n  tool: {kind: python, call: "m:f"}\n'
    playbook = parse(f"{head}{tool}  retry: {{attempts: 5, budget: 10%}}\n  tune: {text}\n")
    return playbook.steps[0].knob("retry.budget")


def test_a_budget_is_tuned_within_shares() -> None:
    assert tune_of("{retry.budget: {min: 5%, max: 50%}}") == Knob("retry.budget", 0.05, 0.5)
    assert tune_of("{retry.budget: [10%, 20%]}") == Knob("retry.budget", choices=(0.1, 0.2))


@pytest.mark.parametrize(
    ("tune", "says"),
    [
        ("{retry.budget: {min: 0%, max: 50%}}", "of nothing allows no retry"),
        ("{retry.budget: {min: 20%, max: 50%}}", "0.1, is outside 0.2 to 0.5"),
        ("{retry.budget: {min: 0.05, max: 0.5}}", "must be a percentage"),
    ],
)
def test_bounds_of_a_budget_that_are_no_shares_are_refused(tune: str, says: str) -> None:
    with pytest.raises(PlaybookFaults, match=says):
        tune_of(tune)


@pytest.mark.parametrize(
    ("budget", "says"),
    [("0.1", "must be a percentage"), ("0%", "allows no retry"), ("120%", "must be a percentage")],
)
def test_a_budget_that_is_no_share_is_refused(budget: str, says: str) -> None:
    with pytest.raises(PlaybookFaults, match=says):
        retry_of(f"{{attempts: 5, budget: {budget}}}")
