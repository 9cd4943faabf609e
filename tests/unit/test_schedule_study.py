"""Hours of the day: proposed where like was compared with like, and not where it was not."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from optimizer.day import Day
from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.tries import tries
from optimizer.tune import Tuned, tune_step
from runtime.playbook.hours import windows

DAY = 86_400
SEEN = ("any", "0-4", "8-12", "16-20")


def record(
    effects: dict[int, float], fast_at: set[int] | None = None, days: int = 12,
    daily: dict[int, float] | None = None, seed: int = 1,
) -> pa.Table:  # fmt: skip
    """Return runs at 2, 10 and 18 o'clock for some days; ``effects`` are log, by hour.

    ``daily`` is by how much a whole day's runs at an hour vary together.
    """
    rng, rows = np.random.default_rng(seed), []
    for day in range(days):
        for hour in (2, 10, 18):
            luck = rng.normal(0.0, (daily or {}).get(hour, 0.0))
            for k in range(2):
                items = int(rng.integers(800, 1200))
                fast = hour in fast_at if fast_at is not None else rng.random() < 0.5
                seconds = (
                    items
                    * 0.01
                    * math.exp(
                        effects.get(hour, 0.0)
                        + luck
                        - (0.5 if fast else 0.0)
                        + rng.normal(0, 0.05)
                    )
                )
                start = day * DAY + hour * 3600.0 + 600 * k
                run = f"d{day}h{hour}k{k}"
                rows.append({
                    "attempt": f"{run}/s/-1/1", "run": run, "version": "v", "batch": -1,
                    "block": -1, "number": 1, "outcome": "succeeded", "error_class": "",
                    "retried": 0, "run_s": seconds, "items": items, "cost_usd": seconds / 3600,
                    "scheduled_at": start, "at": start + seconds, "batch_size": None,
                    "in_flight": None, "experiment": "", "arm": "", "share": None,
                    "hardware": "fast" if fast else "slow",
                })  # fmt: skip
    return pa.Table.from_pylist(rows)


def tuned(
    data: pa.Table, limits: Limits | None = None, at_most_h: float = 24,
    choices: tuple[str, ...] = ("any", *windows(4)), **scoped: Any,
) -> Tuned:  # fmt: skip
    scope: dict[str, Any] = {
        "playbook": "p", "step": "s", "defaults": {"start.hours": "any"},
        "start": {"at_most_s": at_most_h * 3600.0, "zone": "UTC"},
        "tune": [{"name": "start.hours", "choices": list(choices)}], **scoped,
    }  # fmt: skip
    return tune_step(scope, batches(data), limits or Limits(), random.Random(1), tries(data))


def test_cheaper_hours_are_proposed_where_like_was_compared_with_like() -> None:
    found = tuned(record({2: -0.4})).candidate
    assert found is not None
    assert found.diff == [{"knob": "start.hours", "from": "any", "to": "0-4"}]
    truth = math.expm1(-0.4 * 2 / 3)
    assert found.predicted["cost"]["median"] == pytest.approx(truth, abs=0.05)
    assert found.evidence["days"] == 12
    delay = found.evidence["delay"]  # those of 10 and 18 o'clock wait for midnight
    assert (delay["share"], delay["mean_s"] / 3600) == (
        pytest.approx(2 / 3), pytest.approx(10 - 5 / 60, abs=0.1),
    )  # fmt: skip
    assert "67% of runs would wait" in found.note


def test_what_waiting_would_bring_counts_only_the_runs_that_may_wait_so_long() -> None:
    found = tuned(record({2: -0.4}), at_most_h=8).candidate  # 10 o'clock is 14 hours away
    assert found is not None
    assert found.predicted["cost"]["median"] == pytest.approx(math.expm1(-0.4 / 3), abs=0.05)
    assert found.evidence["delay"]["share"] == pytest.approx(1 / 3)
    assert tuned(record({2: -0.4}), at_most_h=4, choices=SEEN).candidate is None


def test_hours_are_those_of_the_step_s_own_zone() -> None:
    start = {"at_most_s": 86_400.0, "zone": "Asia/Tokyo"}  # 2 o'clock is 11 o'clock there
    found = tuned(record({2: -0.4}), start=start, choices=("any", "9-15", "0-6")).candidate
    assert found is not None
    assert found.diff[0]["to"] == "9-15"


def test_a_playbook_that_wants_less_time_is_not_made_to_wait() -> None:
    (reason,) = tuned(record({2: -0.4}), objective="time").reasons
    assert "waiting takes time" in reason.text


def test_hours_in_which_no_run_began_are_asked_about_in_a_trial() -> None:
    found = tuned(record({18: 0.4}), choices=("any", "4-8", "16-20")).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["values"], found.predicted) == ("experiment", ["4-8"], {})
    assert "no run began then" in found.note
    again = [{"content": found.content, "state": "rejected"}]
    told = tuned(record({18: 0.4}), choices=("any", "4-8", "16-20"), last=again)
    assert (told.candidate, told.reasons[0].reason) == (None, "history_cannot_say")
    even = tuned(record({}), choices=("any", "4-8", "16-20"))
    assert even.candidate is None  # where hours are seen not to matter, nobody is asked to wait


@pytest.mark.parametrize("days", [8, 2])
def test_what_a_trial_has_measured_over_enough_days_is_proposed(days: int) -> None:
    rows = []
    for row in record({2: -0.4}, days=days).to_pylist():
        night = row["scheduled_at"] % DAY < 4 * 3600
        drawn = {"experiment": "x-9", "arm": "candidate.1" if night else "control", "share": 0.5}
        rows.append({**row, **drawn, "run": f"t{row['run']}", "attempt": f"t{row['attempt']}"})
    data = pa.Table.from_pylist([*rows, *record({}).to_pylist()])
    line = {"knob": "start.hours", "from": "any", "values": ["0-4"]}
    learned = [{"proposal": "p-9", "state": "learned", "content": "c", "diff": [line]}]
    found = tuned(data, choices=("any", "0-4"), last=learned).candidate
    assert (found is not None) == (days == 8)
    if found is not None:
        assert (found.kind, found.diff[0]["to"]) == ("change", "0-4")
        assert "measured beside runs that began at once" in found.note


def test_the_days_of_another_trial_are_not_those_of_a_trial_of_hours() -> None:
    rows = []
    for number, row in enumerate(record({2: -0.4}, days=9).to_pylist()):
        one = row["scheduled_at"] < 2 * DAY  # of hours there were two days, of sizes the others
        drawn = {"experiment": "x-9" if one else "x-8", "share": 0.5}
        night = row["scheduled_at"] % DAY < 4 * 3600 if one else number % 2
        drawn["arm"] = "candidate.1" if night else "control"
        for k in range(4):
            name = f"t{row['run']}{k}"
            rows.append({**row, **drawn, "run": name, "attempt": f"{name}/s/-1/1"})
    data = pa.Table.from_pylist([*rows, *record({}).to_pylist()])
    line = {"knob": "start.hours", "from": "any", "values": ["0-4"]}
    learned = [{"proposal": "p-9", "state": "learned", "content": "c", "diff": [line]}]
    assert tuned(data, choices=("any", "0-4"), last=learned).candidate is None


def test_nights_that_go_over_midnight_are_each_counted_once() -> None:
    day = Day.of(ZoneInfo("Asia/Tokyo"), 3600.0, ["any", "22-6"])
    evening = datetime(2026, 3, 1, 22, 30, tzinfo=day.zone).timestamp()
    began = np.array([evening + 3600.0 * hour for hour in (0, 1, 3, 7, 8, 24, 31)])
    assert (day.day_of(began) - day.day_of(began)[0]).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert day.part_of(began).tolist() == [0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(("spread_h", "begins"), [(0.0, 22.0), (2.0, 23.0), (20.0, 23.5)])
def test_what_waits_begins_in_the_middle_of_its_spread_as_far_as_it_may_wait(
    spread_h: float, begins: float
) -> None:
    day = Day.of(UTC, 13 * 3600.0, ["any", "22-6"], spread_h * 3600.0)
    moved = day.moved(np.array([12.0, 8.0, 23.0]) * 3600.0, "22-6") / 3600.0
    assert moved.tolist() == [begins, 8.0, 23.0]


def test_the_same_is_found_whatever_the_order_of_the_rows() -> None:
    data = record({2: -0.4})
    rows = data.to_pylist()
    random.Random(3).shuffle(rows)
    found, shuffled = tuned(data).candidate, tuned(pa.Table.from_pylist(rows)).candidate
    assert found is not None
    assert shuffled is not None
    assert found.predicted["cost"] == pytest.approx(shuffled.predicted["cost"])
    assert found.diff == shuffled.diff


def test_hours_that_do_not_differ_are_left_alone() -> None:
    assert [r.reason for r in tuned(record({}), choices=SEEN).reasons] == ["not_worthwhile"]


def test_a_fast_worker_that_works_at_night_alone_says_nothing_of_the_night() -> None:
    found = tuned(record({}, fast_at={2})).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["values"]) == ("experiment", ["0-4"])
    assert found.evidence["reason"] == "history_cannot_say"
    assert "unlike the rest" in found.note


def test_a_few_days_are_too_few() -> None:
    found = tuned(record({2: -0.4}, days=3))
    assert [r.reason for r in found.reasons] == ["too_little_history"]
    assert found.reasons[0].text.startswith("18 runs on 3 days are known; 8 on 4 are needed")


def test_steady_hours_are_not_cheaper_for_what_the_others_happened_to_cost() -> None:
    long_trial = Limits(run_units=2000)
    found = [
        tuned(
            record({2: -0.05}, set(), daily={10: 0.5, 18: 0.5}, seed=seed),
            long_trial,
            choices=SEEN,
        )
        for seed in range(24)
    ]
    assert sum(one.candidate is not None for one in found) <= 2  # 3% are to be had, not 5%
