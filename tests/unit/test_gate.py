"""The gate: laws of what it states, then when it proposes, asks, and stays shut."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.gate.calibration import (
    NORMAL,
    Calibration,
    OtherVersion,
    Pick,
    calibrate,
    elsewhere,
    reach,
)
from optimizer.gate.gate import Terms, arm, judge
from optimizer.gate.moves import Moves
from optimizer.gate.outlook import HARM, SAVING, Outlook, outlook
from optimizer.gate.replay import Made, Replayed, calibrated, replays
from optimizer.gate.tendency import Tendency
from optimizer.gate.trial import settled
from optimizer.search.history import History
from optimizer.search.space import Column, Space

SIZES = tuple(2.0**n for n in range(8))
SPACE = Space.of(tuple(f"{size:g}" for size in SIZES), {"cpus": Column("log", SIZES)})
INCUMBENT = 0


def world(seed: int = 0, families: int = 5, misled: float = 0.0) -> History:
    """Steps that are the faster the more CPUs they have, or with `misled` as they please."""
    rng = np.random.default_rng(seed)
    rows, names = [], []
    for family in range(families):
        bend = rng.normal(-0.1, 0.01) if rng.random() >= misled else rng.normal(0.1, 0.3)
        for _ in range(2):
            level = rng.uniform(0.0, 3.0)
            rows.append(level + bend * np.arange(8) + rng.normal(0.0, 0.03, 8))
            names.append(f"family {family}")
    return History.of(rows, names, len(SPACE))


@lru_cache(maxsize=8)
def learnt(seed: int = 0, misled: float = 0.0) -> tuple[History, Tendency, Calibration | None]:
    history = world(seed, misled=misled)
    return history, Tendency.of(SPACE, history), calibrated(SPACE, history)


def belief(level: float = 1.5, seed: int = 0, misled: float = 0.0) -> Outlook:
    history, tendency, _ = learnt(seed, misled)
    return outlook(tendency, history, INCUMBENT, level)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.floats(-9, 9), st.integers(0, 7))
def test_the_unit_of_the_outcome_scales_out(seed: int, shift: float, incumbent: int) -> None:
    history = world(seed)
    moved = History(history.rows + shift, history.families)
    one, other = Moves.of(history, incumbent, 1.0), Moves.of(moved, incumbent, 1.0 + shift)
    assert np.allclose(one.below(SAVING), other.below(SAVING), atol=1e-6)
    assert one.beyond == pytest.approx(other.beyond, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.permutations(range(10)))
def test_the_order_of_history_does_not_matter(seed: int, order: list[int]) -> None:
    history = world(seed)
    other = History(history.rows[order], tuple(history.families[i] for i in order))
    one, again = Moves.of(history, INCUMBENT, 1.0), Moves.of(other, INCUMBENT, 1.0)
    assert np.allclose(one.mean, again.mean)
    assert np.allclose(one.scale, again.scale)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30))
def test_more_families_make_a_move_no_less_certain(seed: int) -> None:
    few = world(seed)
    again = tuple(f"{family} again" for family in few.families)
    more = History(np.vstack([few.rows] * 2), (*few.families, *again))
    one, other = Moves.of(few, INCUMBENT, 1.5), Moves.of(more, INCUMBENT, 1.5)
    assert (other.spread[1:] <= one.spread[1:] + 1e-9).all()


def test_a_move_that_nobody_made_is_not_taken_for_good() -> None:
    history = world()
    history.rows[:, 5] = np.nan
    moves = Moves.of(history, INCUMBENT, 1.5)
    assert moves.below(SAVING)[5] < 0.5
    assert moves.below(SAVING)[6] > 0.9


@pytest.mark.parametrize(("level", "supported"), [(1.5, True), (9.0, False), (-9.0, False)])
def test_a_step_unlike_any_in_size_is_not_supported(level: float, supported: bool) -> None:
    assert belief(level).moves.supported is supported


picks = st.lists(
    st.builds(
        Pick, st.sampled_from("abcd"), st.sampled_from("xyz"), st.floats(0, 1),
        st.booleans(), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(picks, st.lists(st.floats(0, 1), min_size=2, max_size=6).map(sorted))
def test_a_calibrated_chance_is_a_chance_whatever_was_picked(
    told: list[Pick], stated: list[float]
) -> None:
    found = calibrate(told, 0.5)
    if len({pick.family for pick in told}) < 2:
        assert found is None
        return
    assert found is not None
    for values in (found.chance(np.asarray(stated)), found.harm(np.asarray(stated))):
        assert ((values >= 0.0) & (values <= 1.0)).all()
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


@settings(max_examples=30, deadline=None)
@given(picks, st.randoms(use_true_random=False))
def test_calibration_does_not_depend_on_the_order_of_picks(
    told: list[Pick], rng: random.Random
) -> None:
    mixed = list(told)
    rng.shuffle(mixed)
    assert calibrate(mixed, 0.5) == calibrate(told, 0.5)


def test_a_family_counts_once_however_many_picks_it_has() -> None:
    good = [Pick("a", "a/0", 0.9, True, False)] * 99
    bad = [Pick("b", "b/0", 0.9, False, True)]
    found = calibrate(good + bad, 0.5)
    assert found is not None
    assert found.mean_saved == pytest.approx(0.5)


@pytest.mark.parametrize("version", [0, 2, None])
def test_a_calibration_of_another_version_is_not_read(version: int | None) -> None:
    _, _, known = learnt()
    assert known is not None
    with pytest.raises(OtherVersion, match=f"version {version}, and 3 is read"):
        Calibration.from_json({**known.to_json(), "version": version})


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 0.99), st.booleans(), st.integers(2, 12))
def test_a_chance_goes_from_what_other_histories_showed_to_what_this_one_shows(
    stated: float, saved: bool, families: int
) -> None:
    told = [Pick(f"family {n}", "a", stated, saved, not saved) for n in range(families)]
    few, more = calibrate(told[:-1], 0.5, fewest=1), calibrate(told, 0.5)
    assert few is not None
    assert more is not None
    at = np.asarray([stated])
    before, one, two = elsewhere("saved", at), few.chance(at), more.chance(at)
    assert (before < one < two) if saved else (before > one > two)
    before, one, two = elsewhere("harmed", at), few.harm(at), more.harm(at)
    assert (before > one > two) if saved else (before < one < two)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9).map(sorted))
def test_what_is_stated_to_be_likelier_was_likelier_elsewhere(stated: list[float]) -> None:
    assert (np.diff(elsewhere("saved", np.asarray(stated))) >= 0.0).all()
    assert (np.diff(elsewhere("harmed", np.asarray(stated))) <= 0.0).all()


def test_other_histories_alone_open_no_gate() -> None:
    assert calibrate([], 0.5, fewest=0) is None
    assert calibrated(SPACE, world(families=1)) is None


def test_a_family_unlike_the_others_in_size_is_replayed_all_the_same() -> None:
    history = world(families=2)
    history.rows[2:] += 9.0
    cases = list(replays(SPACE, history))
    assert {case.family for case in cases} == {"family 0", "family 1"}
    assert not any(case.belief.moves.supported for case in cases)


def test_two_families_that_agree_may_open_the_gate() -> None:
    history = world(families=2)
    known = calibrated(SPACE, history)
    assert known is not None
    assert (known.families, known.proposing, known.harmed_by) == (2, 2, 0)
    level = float(history.rows[:, INCUMBENT].mean())
    told = judge(outlook(Tendency.of(SPACE, history), history, INCUMBENT, level), known, Terms())
    assert told.verdict == "propose"


def test_moves_are_leant_on_only_where_the_worst_family_fares_clearly_better() -> None:
    tendency, moves = ranked(0.30, lean=1.0), ranked(0.35, lean=0.0)
    assert tendency > moves
    assert ranked(0.45, lean=0.0) > tendency


def test_of_two_families_moves_have_to_fare_better_by_more_if_there_is_a_tendency() -> None:
    tendency, moves = ranked(0.30, lean=1.0, families=2), ranked(0.45, lean=0.0, families=2)
    assert tendency > moves
    assert ranked(0.55, lean=0.0, families=2) > tendency
    assert ranked(0.45, lean=0.0, families=2, heard=False) > tendency


def test_a_tendency_that_no_replay_could_learn_is_none_that_moves_have_to_beat() -> None:
    history = world(2, families=2)
    one_each = History(history.rows[::2], history.families[::2])
    known, alone = calibrated(SPACE, history), calibrated(SPACE, one_each)
    assert known is not None
    assert alone is not None
    assert (known.share, alone.share) == (1.0, 0.0)


def ranked(
    saved: float, lean: float, families: int = 4, heard: bool = True
) -> tuple[float, float]:
    rest = ((made(0.6),),) * (families - 1)
    return Replayed(((made(saved),), *rest)).rank(lean, heard)


def made(saved: float, surprise: float = 0.0, beyond: float = 0.0) -> Made:
    return Made(float(np.log(1.0 - saved)), surprise, beyond)


surprises = st.lists(st.lists(st.floats(-3, 3), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(surprises, st.integers(1, 5))
def test_an_interval_lies_between_what_proposals_showed_and_a_normal_error(
    told: list[list[float]], again: int
) -> None:
    low, high = reach(told, len(told))
    wide = NORMAL * (1.0 + 1.0 / len(told)) ** 0.5
    each = [one for family in told for one in family]
    assert min(*each, -wide) - 1e-9 <= low <= max(-wide, *each)
    assert min(wide, *each) <= high <= max(*each, wide) + 1e-9
    assert reach([family * again for family in told], len(told)) == pytest.approx(
        (low, high), abs=3.0 / min(map(len, told))
    )


def test_an_interval_goes_to_what_proposals_showed_the_more_families_made_them() -> None:
    told = [[0.2, 0.4]] * 12
    heights = [reach(told[:n], n)[1] for n in (1, 2, 4, 8, 12)]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < 0.8 < NORMAL < heights[0]
    assert reach([], 2)[1] == pytest.approx(NORMAL * 1.5**0.5)


def test_proposals_may_go_as_far_beyond_the_sizes_of_history_as_two_families_bear_out() -> None:
    near, far, farther = made(0.3), made(0.3, beyond=1.0), made(0.3, beyond=2.0)
    assert Replayed(((near, far), (farther, None), (None,))).farthest() == 1.0
    assert Replayed(((far,), (farther,), (farther,))).farthest() == 2.0
    assert Replayed(((far, farther), (None,))).farthest() == 0.0
    assert Replayed(((far,), (farther,), (made(-0.3, beyond=0.1),))).farthest() == 0.0


def test_a_gate_that_two_families_prove_has_done_no_harm_and_one_that_three_do_little() -> None:
    good, bad = (made(0.3),) * 19, made(-0.3)
    _, _, known = learnt()
    assert known is not None
    for told, proven in (
        ((good, good), True), ((good, (*good, bad)), False), ((good, good, (*good, bad)), True),
    ):  # fmt: skip
        assert Replayed(told).told(known, Replayed(())).proven is proven


def test_where_replays_bear_it_out_a_step_of_another_size_is_proposed_for() -> None:
    history = world(families=2)
    history.rows[2:] += 2.0
    known = calibrated(SPACE, history)
    assert known is not None
    assert known.proven
    assert 0.0 < known.beyond < 4.0
    tendency = Tendency.of(SPACE, history)
    largest = float(history.rows[:, INCUMBENT].max())
    for level, verdict in ((largest + 0.5, "propose"), (largest + 9.0, "ask")):
        told = judge(outlook(tendency, history, INCUMBENT, level), known, Terms())
        assert (told.verdict, told.known) == (verdict, verdict == "propose")
    none = replace(known, beyond=0.0)
    told = judge(outlook(tendency, history, INCUMBENT, largest + 0.5), none, Terms())
    assert told.verdict == "ask"


def test_a_replay_never_learns_from_the_family_it_is_about() -> None:
    history = world()
    alone = History(history.rows[:2], history.families[:2])
    assert list(replays(SPACE, alone)) == []
    assert {case.family for case in replays(SPACE, history)} == set(history.families)


def test_what_history_shows_again_and_again_is_proposed() -> None:
    _, _, known = learnt()
    told = judge(belief(), known, Terms())
    assert told.verdict == "propose"
    assert known is not None
    assert known.proven
    assert told.candidate > INCUMBENT
    assert told.chance >= 0.8
    assert told.harm <= 0.05
    low, middle, high = told.saving
    truth = 1.0 - np.exp(-0.1 * told.candidate)
    assert low < truth < high
    assert low <= middle <= high
    assert told.worth > told.price


def test_a_proposal_is_the_largest_saving_that_passes() -> None:
    _, _, known = learnt()
    assert known is not None
    view = belief().leaning(known.share)
    stated = view.below(SAVING)
    passes = (known.chance(stated) >= 0.8) & (known.harm(stated) <= 0.05) & (stated > 0)
    best = int(np.argmin(np.where(passes, view.mean, np.inf)))
    assert judge(belief(), known, Terms()).candidate == best


def test_without_a_calibration_nothing_is_proposed_and_a_trial_is() -> None:
    told = judge(belief(), None, Terms())
    assert (told.verdict, told.known, told.chance) == ("ask", False, 0.0)
    assert "too few families" in told.why[0]


def test_a_gate_that_would_have_done_harm_stays_shut() -> None:
    _, _, known = learnt()
    assert known is not None
    harmed = replace(known, harmed_by=known.proposed // 2)
    told = judge(belief(), harmed, Terms())
    assert told.verdict == "ask"
    assert "would have done harm" in told.why[0]


def test_a_step_larger_than_any_in_history_is_asked_about() -> None:
    _, _, known = learnt()
    told = judge(belief(9.0), known, Terms())
    assert told.verdict == "ask"
    assert not told.known
    assert "beyond" in told.why[0]


def test_where_history_misleads_nothing_is_proposed() -> None:
    proposed = [
        judge(belief(seed=seed, misled=0.9), learnt(seed, 0.9)[2], Terms()).verdict == "propose"
        for seed in range(4)
    ]
    assert sum(proposed) <= 1


def test_no_trial_is_asked_for_when_no_run_is_left_to_win_on() -> None:
    few = Terms(horizon=2)
    told = judge(belief(), None, few)
    assert (told.verdict, arm(belief(), few)) == ("cannot_say", None)


def test_a_trial_is_not_repeated_on_what_was_tried() -> None:
    first = arm(belief(), Terms())
    assert first is not None
    assert arm(belief(), Terms(), (first,)) not in (first, INCUMBENT)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1, 1), st.floats(0.05, 1), st.lists(st.floats(-1, 1), min_size=2, max_size=4))
def test_what_may_stay_is_unlikely_to_do_harm(
    mean: float, spread: float, runs: list[float]
) -> None:
    told = settled((mean, spread), [0.0, 0.01], runs)
    assert told.kept == (told.chance >= 0.8 and told.harm <= 0.01)
    assert not (told.kept and told.mean > HARM)


def test_the_same_history_gives_the_same_calibration() -> None:
    assert calibrated(SPACE, world()) == learnt()[2]


def test_what_was_stated_alike_comes_true_together_whatever_the_order_of_steps() -> None:
    def told(places: list[int]) -> list[Pick]:
        came = list(zip(places, (True, True, False, False), strict=True))
        return [Pick(f, f"{f}/{n}", 0.8, good, not good) for f in "ab" for n, good in came]

    assert calibrate(told([0, 1, 2, 3]), 1.0) == calibrate(told([3, 2, 1, 0]), 1.0)
