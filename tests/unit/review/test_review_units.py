from __future__ import annotations

import random
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clocks import ZONES
from hypothesis import given
from hypothesis import strategies as st

from control_plane.review.units import Units
from optimizer.verify import Unit
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    ExperimentStarted,
    Fault,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepHeld,
)

STARTED = ExperimentStarted(
    "x-1", "p-1", "p", "s", "batch", "blocks", {"each.batch": 25},
    {"candidate": {"each.batch": 50}}, {"candidate": 0.5}, "salt", "b", 50,
)  # fmt: skip


class Journal:
    """Events of one run, one after the other."""

    def __init__(self, run: str = "run/r") -> None:
        self.run, self.seq = run, 0

    def __call__(self, event: object, at: float) -> Recorded:
        self.seq += 1
        return Recorded(1, self.seq, self.run, self.seq, at, event)  # type: ignore[arg-type]


def cut(
    block: int, start: int, stop: int, size: int, first: int, arm: str | None = "candidate",
    **more: object,
) -> EachCut:  # fmt: skip
    return EachCut(
        "s", block, "block", start, stop, size, first, 2, "c", experiment="x-1", arm=arm,
        share=0.5, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def rescue(block: int, start: int, stop: int, first: int, batch: int) -> EachCut:
    return EachCut("s", block, "rescue", start, stop, 25, first, 2, "c", rescues=batch)


def done(
    batch: int, seconds: float = 1.0, number: int = 1, well: bool = True, again: bool = False,
    cost: float | None = 0.001,
) -> AttemptFinished:  # fmt: skip
    return AttemptFinished(
        f"r/s/{batch}/{number}", "s", number, "succeeded" if well else "failed", 1, batch,
        fault=None if well else Fault("transient", "503"), retry_at=9.0 if again else None,
        run_s=seconds, cost_usd=cost, worker="local-3",
    )  # fmt: skip


def fold(*commits: list[tuple[object, float]], started: ExperimentStarted = STARTED) -> list[Unit]:
    units, journal, found = Units(started), Journal(), []
    for commit in commits:
        for event, at in commit:
            units.take(journal(event, at))
        found += list(units.ready())
    return found


def test_a_block_is_a_unit_once_its_last_batch_is_final() -> None:
    first = [(cut(0, 0, 50, 25, 0, "control"), 10.0), (done(0, 1.0), 11.0)]
    assert fold(first) == []
    (unit,) = fold(first, [(done(1, 2.0), 12.5)])
    assert unit == Unit("control", 0.5, 50, 2, 3.0 / 50, 0.002 / 50, 0, 0, None, 0.5, 12.5)


def test_every_try_of_a_block_counts_in_time_and_cost_and_retried_counts_batches() -> None:
    (unit,) = fold(
        [(cut(0, 0, 50, 25, 0), 1.0), (done(0, 1.0, well=False, again=True), 2.0)],
        [(done(0, 1.0, 2, well=False, again=True), 3.0), (done(0, 1.0, 3), 4.0)],
        [(done(1, 1.0), 5.0)],
    )
    assert (unit.seconds_per_item, unit.retried, unit.failed_items) == (4.0 / 50, 1, 0)
    assert unit.cost_per_item == pytest.approx(0.004 / 50)


@pytest.mark.parametrize("first_fails", [True, False])
def test_a_hedged_batch_is_final_when_both_tries_are_and_both_count_in_cost(
    first_fails: bool,
) -> None:
    hedge = AttemptScheduled("r/s/0/1.1", "s", 1, "c", "k", 0, hedges="r/s/0/1")
    moot = done(0, 3.0, well=False).but(moot=True)
    won = done(0, 1.0).but(attempt="r/s/0/1.1")
    ends = [(moot, 3.0), (won, 4.0)] if first_fails else [(won, 3.0), (moot, 4.0)]
    before = [(cut(0, 0, 50, 50, 0), 1.0), (hedge, 2.0)]
    assert fold(before, ends[:1]) == []
    (unit,) = fold(before, ends[:1], ends[1:])
    assert (unit.seconds_per_item, unit.retried, unit.failed_items) == (4.0 / 50, 0, 0)
    assert unit.cost_per_item == pytest.approx(0.002 / 50)


def test_what_went_down_with_the_server_does_not_speak_against_an_arm() -> None:
    fault = Fault("lost", "the server was restarted while this ran")
    gone = done(0, 0.0, well=False, again=True).but(outcome="lost", fault=fault)
    before = [(cut(0, 0, 50, 50, 0), 1.0)]
    (unit,) = fold(before, [(gone.but(worker=""), 2.0), (done(0, 1.0, 2), 3.0)])
    assert (unit.retried, unit.failed_items) == (0, 0)
    (unit,) = fold(before, [(gone, 2.0), (done(0, 1.0, 2), 3.0)])
    assert unit.retried == 1, "a worker died at it: that may be the arm's doing"


def test_a_rescued_batch_is_the_candidates_failure_and_its_rescue_belongs_to_the_block() -> None:
    failed = [(cut(0, 0, 50, 50, 0), 1.0), (done(0, 2.0, well=False), 3.0)]
    rescued = [*failed, (rescue(0, 0, 50, 1, 0), 3.0)]
    assert fold(rescued, [(done(1), 4.0)]) == []
    (unit,) = fold(rescued, [(done(1), 4.0)], [(done(2), 5.0)])
    assert (unit.batches, unit.failed_items, unit.retried) == (1, 50, 1)
    assert unit.seconds_per_item == pytest.approx(4.0 / 50)


def test_a_rescue_costs_nothing_where_the_change_would_not_have_made_it() -> None:
    started = STARTED.but(plan={"rescues": False})
    failed = [(cut(0, 0, 50, 50, 0), 1.0), (done(0, 2.0, well=False), 3.0)]
    rescued = [*failed, (rescue(0, 0, 50, 1, 0), 3.0)]
    (unit,) = fold(rescued, [(done(1, cost=None), 4.0)], [(done(2), 5.0)], started=started)
    assert (unit.failed_items, unit.seconds_per_item) == (50, pytest.approx(2.0 / 50))
    assert unit.cost_per_item == pytest.approx(0.001 / 50)


def test_a_rescue_takes_the_place_of_its_own_range_alone() -> None:
    begun = [(cut(0, 0, 100, 50, 0), 1.0), (done(0, well=False), 2.0)]
    rescued = [*begun, (rescue(0, 0, 50, 2, 0), 2.0)]
    started = STARTED.but(block_items=100)
    still = fold(rescued, [(done(2), 3.0), (done(3), 4.0)], started=started)
    assert still == [], "batch 1 is not done"
    (unit,) = fold(
        rescued, [(done(2), 3.0), (done(3), 4.0)], [(done(1), 5.0)], started=started
    )  # fmt: skip
    assert (unit.items, unit.failed_items) == (100, 50)


def test_a_rescue_that_fails_too_counts_its_items_once() -> None:
    (unit,) = fold(
        [(cut(0, 0, 50, 50, 0), 1.0), (done(0, well=False), 2.0), (rescue(0, 0, 50, 1, 0), 2.0)],
        [(done(1, well=False), 3.0)],
        [(done(2), 4.0)],
    )
    assert unit.failed_items == 50


def test_the_short_last_block_and_work_outside_the_experiment_are_left_out() -> None:
    alone = EachCut("s", 3, "all", 70, 90, 25, 2, 2, "c")
    other = EachCut("t", 3, "block", 0, 50, 50, 0, 2, "c", experiment="x-2", arm="control")
    assert (
        fold(
            [(cut(0, 50, 70, 50, 0), 1.0), (done(0), 2.0)],
            [(alone, 3.0), (done(2), 4.0)],
            [(other, 5.0), (done(0), 6.0)],
        )
        == []
    )


def test_a_price_that_is_missing_once_leaves_the_block_without_cost() -> None:
    (unit,) = fold(
        [(cut(0, 0, 50, 25, 0), 1.0), (done(0, cost=None), 2.0), (done(1), 3.0)],
    )
    assert unit.cost_per_item is None


def test_a_drained_block_is_timed_on_the_wall_and_pairs_have_numbers_of_their_own() -> None:
    started = STARTED.but(design="switchback")
    units = Units(started)
    found = []
    for run in ("run/a", "run/b"):
        journal = Journal(run)
        for event, at in (
            (cut(0, 0, 50, 25, 0, "control", drained=True, pair=0), 10.0),
            (done(0, 1.0), 11.0), (done(1, 1.0), 11.5),
            (cut(1, 50, 100, 25, 2, drained=True, pair=0), 11.5),
            (done(2, 1.0), 12.0), (done(3, 1.0), 12.25),
        ):  # fmt: skip
            units.take(journal(event, at))
            found += list(units.ready())
    assert [(u.arm, u.pair) for u in found] == [
        ("control", 0), ("candidate", 0), ("control", 1), ("candidate", 1),
    ]  # fmt: skip
    assert [u.seconds_per_item for u in found[:2]] == [1.5 / 50, 0.75 / 50]


@pytest.mark.parametrize(
    ("end", "well", "counted"),
    [
        (RunFailed("s", Fault("transient", "503")), False, 1),
        (RunFailed("t", Fault("permanent", "no")), True, 0),
        (RunCancelled(), True, 0),
        (RunCancelled(), False, 1),
    ],
)
def test_a_block_cut_off_by_the_end_of_its_run_counts_only_when_it_had_failed(
    end: object, well: bool, counted: int
) -> None:
    found = fold(
        [(cut(0, 0, 50, 25, 0), 1.0), (done(0, well=well), 2.0)],
        [(end, 3.0)],
    )
    assert len(found) == counted
    assert sum(u.failed_items for u in found) == (25 if counted else 0)


def test_a_step_that_is_no_each_has_the_run_as_its_unit() -> None:
    scheduled = AttemptScheduled(
        "r/s/-1/1", "s", 1, "c", "k", experiment="x-1", arm="candidate", share=0.5
    )
    started = STARTED.but(block_items=1)
    (unit,) = fold([(scheduled, 1.0)], [(done(-1, 2.0), 3.0)], started=started)
    assert (unit.items, unit.seconds_per_item, unit.arm) == (1, 2.0, "candidate")


def test_a_runs_candidate_that_failed_for_good_counts_though_another_try_saved_the_run() -> None:
    scheduled = AttemptScheduled(
        "r/s/-1/1", "s", 1, "c", "k", experiment="x-1", arm="candidate", share=0.5
    )
    bad = done(-1, 2.0, well=False, again=True).but(rescued=True)
    started = STARTED.but(block_items=1)
    assert fold([(scheduled, 1.0)], [(bad, 3.0)], started=started) == []
    (unit,) = fold([(scheduled, 1.0)], [(bad, 3.0)], [(done(-1, 1.0, 2), 4.0)], started=started)
    assert (unit.failed_items, unit.retried, unit.seconds_per_item) == (1, 1, 3.0)


def test_runs_that_took_part_are_counted_when_they_end_and_others_are_not() -> None:
    units = Units(STARTED)
    for run, takes_part in (("run/a", True), ("run/b", False), ("run/c", True)):
        journal = Journal(run)
        if takes_part:
            units.take(journal(cut(0, 0, 50, 50, 0), 1.0))
        units.take(journal(RunCompleted(), 2.0))
    assert units.ended_runs == 2


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_no_item_is_counted_twice_or_lost_whatever_the_order_of_endings(
    seed: int, blocks: int
) -> None:
    rng = random.Random(seed)
    events: list[tuple[object, float]] = []
    batches = []
    for b in range(blocks):
        events.append((cut(b, 50 * b, 50 * b + 50, 25, 2 * b), 1.0))
        batches += [2 * b, 2 * b + 1]
    rng.shuffle(batches)
    ends = [(done(batch, rng.uniform(0.1, 2)), 2.0 + i) for i, batch in enumerate(batches)]
    found = fold(events, *[[end] for end in ends])
    assert sum(u.items for u in found) == 50 * blocks
    total = sum(u.seconds_per_item * u.items for u in found)
    assert total == pytest.approx(sum(e[0].run_s for e in ends))
    assert [u.at for u in found] == sorted(u.at for u in found)


@pytest.mark.parametrize(
    ("arm", "share"), [("candidate", None), ("candidate", 0.0), ("control", 1.0), ("forged", 0.5)]
)
def test_a_block_that_does_not_say_how_it_was_drawn_is_put_aside(
    arm: str, share: float | None
) -> None:
    units, journal = Units(STARTED), Journal()
    told = cut(0, 0, 50, 25, 0, arm).but(share=share)
    for event, at in [(told, 10.0), (done(0, 1.0), 11.0), (done(1, 1.0), 12.0)]:
        units.take(journal(event, at))
    assert list(units.ready()) == []
    assert units.aside == 1


# ---- hours of the day: the run is the unit, in the order of drawing -------------------------

BY_DAY = STARTED.but(
    knob_class="schedule", block_items=1, base={"start.hours": "any"},
    arms={"candidate": {"start.hours": "22-6"}},
)  # fmt: skip
DAY = 86_400.0


def begun(arm: str | None, **more: Any) -> AttemptScheduled:
    drawn: dict[str, Any] = {"experiment": "x-1", "arm": arm, "share": 0.5} if arm else {}
    return AttemptScheduled("r/s/-1/1", "s", 1, "c", "k", **drawn, **more)


def waits(arm: str = "candidate") -> StepHeld:
    return StepHeld("s", 22.0, "22-6", "c", "x-1", arm, 0.5)


class Told:
    """What several runs tell, one event at a time."""

    def __init__(self, zone: str = "UTC") -> None:
        started = BY_DAY.but(plan={**BY_DAY.plan, "zone": zone})
        self.units, self.runs = Units(started), dict[str, Journal]()

    def __call__(self, run: str, event: object, at: float) -> list[str]:
        journal = self.runs.setdefault(run, Journal(run))
        self.units.take(journal(event, at))
        return [unit.arm for unit in self.units.ready()]


def test_what_begins_at_once_counts_when_what_was_drawn_before_it_has_waited() -> None:
    told = Told()
    assert told("run/a", waits(), 1.0) == []
    assert told("run/b", begun("control"), 2.0) == []
    assert told("run/b", done(-1), 3.0) == []
    assert told("run/a", begun("candidate"), 22.0) == []
    assert told("run/a", done(-1), 23.0) == ["candidate", "control"]
    assert len(told.units.days) == 1


def test_of_what_waits_the_shares_are_those_of_drawing_at_any_time_of_the_day() -> None:
    rng, told, drawn, counted = random.Random(1), Told(), [], []
    for i in range(200):
        arm = rng.choice(["candidate", "control"])
        drawn.append(arm)
        counted += told(f"run/{i}", waits() if arm == "candidate" else begun(arm), i * 60.0)
        counted += told(f"run/{i}", done(-1), i * 60.0 + 1) if arm == "control" else []
        assert counted == drawn[: len(counted)]
    for i, arm in enumerate(drawn):
        if arm == "candidate":
            counted += told(f"run/{i}", begun(arm), DAY + i)
            counted += told(f"run/{i}", done(-1), DAY + i + 0.5)
    assert counted == drawn


def test_one_that_is_cancelled_while_it_waits_or_waits_for_ever_holds_nobody_back() -> None:
    told = Told()
    told("run/a", waits(), 1.0)
    told("run/b", begun("control"), 2.0)
    assert told("run/b", done(-1), 3.0) == []
    assert told("run/a", RunCancelled(), 4.0) == ["control"]
    told("run/c", waits(), 5.0)
    told("run/d", begun("control"), 6.0)
    assert told("run/d", done(-1), 7.0) == []
    assert told("run/e", begun("control"), 6.0 + 2 * DAY) == ["control"]


def test_what_has_waited_and_begins_outside_the_trial_is_no_unit() -> None:
    told = Told()
    told("run/a", waits(), 1.0)
    assert told("run/a", begun(None), 2.0) == []
    assert told("run/a", done(-1), 3.0) == []
    assert told.units.days == set()


def test_an_each_that_has_waited_is_one_unit_of_all_its_items() -> None:
    units, journal = Units(BY_DAY), Journal()
    whole = cut(0, 0, 40, 25, 0).but(items={"count": 40, "source": []})
    for event, at in ((waits(), 1.0), (whole, 22.0), (done(0), 23.0), (done(1), 24.0)):
        units.take(journal(event, at))
    (unit,) = units.ready()
    assert (unit.arm, unit.items, unit.batches) == ("candidate", 40, 2)
    assert unit.seconds_per_item == pytest.approx(2.0 / 40)


def test_each_day_counts_once_however_many_runs_it_had() -> None:
    told, number = Told(), iter(range(1000))
    for day, (runs, gap) in enumerate([(20, 0.5), (2, 2.0), (1, 1.0)]):
        for arm, seconds in (("control", 1.0), ("candidate", gap)):
            for _ in range(runs):
                run = f"run/{next(number)}"
                told(run, begun(arm), day * DAY)
                told(run, done(-1, seconds), day * DAY + 5)
    effect = told.units.by_day()
    assert effect is not None
    assert (effect.log, effect.freedom) == (pytest.approx(0.0), 2)
    assert effect.estimate_se == pytest.approx(0.4, abs=0.01)  # log 2 over the root of 3 days
    assert effect.chance_of(0.05) < 0.5


def test_one_day_or_one_arm_says_nothing_of_days() -> None:
    told = Told()
    for run, arm in (("run/a", "control"), ("run/b", "candidate")):
        told(run, begun(arm), 0.0)
        told(run, done(-1), 5.0)
    assert told.units.by_day() is None


@given(st.sampled_from(ZONES), st.lists(st.integers(0, 8 * 3600 - 1), min_size=2))
def test_a_night_is_one_day_on_the_clock_of_the_step_s_zone(zone: str, later: list[int]) -> None:
    told = Told(zone)
    for night, day in enumerate((8, 9)):  # of July: no clock is changed
        ten = datetime(2026, 7, day, 22, tzinfo=ZoneInfo(zone)).timestamp()
        for i, seconds in enumerate(later):
            run, arm = f"run/{night}-{i}", "candidate" if i % 2 else "control"
            told(run, begun(arm), ten + seconds)
            told(run, done(-1), ten + seconds + 1.0)
        assert len(told.units.days) == night + 1
        effect = told.units.by_day()
        assert (effect is not None) is (night == 1)
