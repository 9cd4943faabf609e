"""Choices: what is proposed for hardware and alternatives, from trials, others, and nothing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from agents.calibrator import STALE_S, calibrate, read_others, usable
from agents.loop import run_cycle
from optimizer.choice import Others
from optimizer.elsewhere import elsewhere
from optimizer.evidence import batches, is_intact
from optimizer.guard import Limits
from optimizer.tune import Tuned, tune_step

CLASSES = ("small", "large", "gpu")
SCOPE: dict[str, Any] = {
    "playbook": "etl/mine", "step": "load", "version": "v1", "bound": "b", "objective": "time",
    "defaults": {"runs_on": "small"}, "stable": {}, "effect": "none", "last": [],
    "tune": [{"name": "runs_on", "min": None, "max": None, "choices": ["small", "large", "gpu"]}],
}  # fmt: skip


def attempts(trial: dict[str, float] | None = None, runs: int = 12, failing: str = "") -> pa.Table:
    """Runs of one attempt each; with a trial, arms that take so many seconds.

    Half of the work of the arm ``failing`` fails.
    """
    arms = {"": 8.0} if trial is None else {"control": 8.0, **trial}
    rng = np.random.default_rng(1)
    rows = [
        {
            "attempt": f"{arm}{n}/load", "run": f"{arm}{n}", "version": "v1", "batch": None,
            "block": None, "number": 1, "retried": False,
            "outcome": "failed" if arm == failing != "" and n % 2 else "succeeded",
            "run_s": seconds * float(np.exp(rng.normal(0, 0.03))), "items": 0, "cost_usd": 0.0,
            "scheduled_at": 1000.0 * n, "at": 1000.0 * n + 20, "batch_size": 0, "in_flight": 1,
            "experiment": "x-1" if arm else "", "arm": arm, "share": 0.5 if arm else None,
        }
        for arm, seconds in arms.items() for n in range(runs)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def summed(
    families: int = 6, faster: float = -0.5, settings: tuple[str, ...] = CLASSES
) -> pa.Table:
    """What ``evidence_settings`` says of steps that all like the large class, and of ours."""
    rng = np.random.default_rng(3)
    rows = []
    for family in range(families):
        for step in range(2):
            level = rng.uniform(1.0, 3.0)
            for place, setting in enumerate(settings):
                log_s = level + (faster, 0.2)[place - 1] * (place > 0) + rng.normal(0, 0.03)
                rows.append((f"other/{family}", f"s{step}", setting, log_s))
    rows.append(("etl/mine", "load", "small", float(np.log(8.0))))
    names = ("playbook", "step", "setting", "log_s")
    same = {"attempts": 20, "runs": 20, "failed": 0, "log_usd": 0.0, "priced": 0, "succeeded": 20}
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) | same for row in rows])


class Record:
    """A record that was summed up."""

    def __init__(self, settings: pa.Table) -> None:
        self._settings = settings

    def query(self, name: str, **params: Any) -> pa.Table:
        if name == "evidence_settings":
            return self._settings
        return attempts() if name == "evidence_attempts" else pa.table({"since": [0.0]})


def others(table: pa.Table) -> Others:
    maps, said = usable(calibrate(Record(table), 100.0), 100.0)
    return Others(elsewhere(table), maps, said)


def tuned(scope: dict[str, Any], seen: Others | None, table: pa.Table | None = None) -> Tuned:
    history = batches(attempts() if table is None else table)
    return tune_step({**SCOPE, **scope}, history, Limits(), random.Random(1), others=seen)


def test_what_other_steps_saw_is_proposed_with_what_it_rests_on() -> None:
    found = tuned({}, others(summed())).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["to"], found.knob_class) == ("change", "large", "placement")
    effect = found.predicted["time"]
    assert effect["lower"] < np.expm1(-0.5) < effect["upper"] < 0.0
    told = found.evidence
    assert is_intact(told)
    assert told["others"]["made_this_move"]["steps"] == 12
    low, high = told["others"]["sizes_that_count"]
    assert low < told["others"]["own_size"] < high
    assert told["gate"]["chance"] >= 0.8
    assert told["would_change"]
    assert "calibrated on" in found.note


@pytest.mark.parametrize("age", [0.0, STALE_S + 1.0])
def test_without_a_fresh_calibration_it_is_a_trial_and_says_why(age: float) -> None:
    table = summed()
    told = calibrate(Record(table), 100.0) if age else None
    maps, said = usable(told, 100.0 + age)
    found = tuned({}, Others(elsewhere(table), maps, said)).candidate
    assert found is not None
    assert found.kind == "experiment"
    assert ("not calibrated" in found.note) or ("days old" in found.note)
    assert found.evidence["gate"]["worth"] > found.evidence["gate"]["price"]


def test_a_calibration_whose_age_is_not_known_is_not_used() -> None:
    told = calibrate(Record(summed()), 1e9)
    assert usable(told, 1e9)[0]
    assert usable(told, 0.0) == ({}, "the calibration is of a later time than this cycle knows of")


def test_a_step_larger_than_any_is_asked_about() -> None:
    table = summed()
    mine = table.num_rows - 1
    logs = table.column("log_s").to_pylist()
    table = table.set_column(3, "log_s", pa.array([*logs[:mine], 9.0]))
    found = tuned({}, others(table)).candidate
    assert found is not None
    assert found.kind == "experiment"
    assert "beyond" in found.note


def test_a_choice_that_nobody_made_is_asked_about() -> None:
    few = others(summed(settings=("small",)))
    found = tuned({}, few).candidate
    assert found is not None
    assert (found.kind, found.evidence["reason"]) == ("experiment", "history_cannot_say")


LEARNED = {
    "proposal": "p-1", "kind": "experiment", "state": "learned", "content": "c",
    "diff": [{"knob": "runs_on", "from": "small", "values": ["gpu", "large"]}],
}  # fmt: skip


def test_what_a_trial_measured_comes_before_what_others_saw() -> None:
    table = attempts({"candidate.1": 4.0, "candidate.2": 8.0})
    found = tuned({"last": [LEARNED]}, others(summed()), table).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["to"]) == ("change", "gpu")
    assert found.predicted["time"]["median"] == pytest.approx(-0.5, abs=0.05)


def test_a_unit_whose_cost_is_not_known_does_not_undo_what_a_trial_measured() -> None:
    table = attempts({"candidate.1": 4.0, "candidate.2": 8.0}, runs=24)
    usd = [seconds / 3600 for seconds in table["run_s"].to_pylist()]
    usd[30] = None
    table = table.set_column(table.column_names.index("cost_usd"), "cost_usd", pa.array(usd))
    found = tuned({"last": [LEARNED], "objective": "cost"}, None, table).candidate
    assert found is not None
    assert (found.kind, found.objective, found.diff[0]["to"]) == ("change", "cost", "gpu")


def test_the_arms_of_another_trial_are_not_those_of_this_one() -> None:
    table = attempts({"candidate.1": 4.0, "candidate.2": 8.0})
    other = pa.array(["x-2"] * table.num_rows)
    table = table.set_column(table.column_names.index("experiment"), "experiment", other)
    found = tuned({"last": [LEARNED]}, None, table).candidate
    assert found is None or found.kind == "experiment"


def test_a_choice_that_is_quick_because_it_fails_is_not_proposed() -> None:
    last = [{
        "proposal": "p-1", "content": "c", "state": "learned",
        "diff": [{"knob": "runs_on", "from": "small", "values": ["large", "gpu"]}],
    }]  # fmt: skip
    trial = {"candidate.1": 3.0, "candidate.2": 8.0}
    sound = tuned({"last": last}, None, attempts(trial, runs=24))
    assert sound.candidate is not None
    assert sound.candidate.diff[0]["to"] == "large"
    found = tuned({"last": last}, None, attempts(trial, runs=24, failing="candidate.1"))
    assert found.candidate is None
    assert "large: 50% of its work failed at first" in found.reasons[0].text


def test_choices_that_a_trial_found_no_better_are_left_alone() -> None:
    table = attempts({"candidate.1": 8.0, "candidate.2": 9.0})
    told = tuned({"last": [LEARNED]}, others(summed()), table)
    assert told.candidate is None
    assert told.reasons[0].reason == "not_worthwhile"


def test_an_alternative_is_tried_before_it_is_believed() -> None:
    scope = {
        "defaults": {"alternatives": "default"},
        "tune": [{"name": "alternatives", "choices": ["default", "cheap"]}],
    }
    found = tuned(scope, others(summed())).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["values"]) == ("experiment", ["cheap"])
    assert "only a trial" in found.note


def test_runs_by_chance_on_another_class_are_not_taken_for_a_trial() -> None:
    table = attempts({"candidate.1": 4.0})
    passive = table.drop_columns(["experiment", "arm"])
    texts = pa.array([""] * table.num_rows)
    passive = passive.append_column("experiment", texts).append_column("arm", texts)
    found = tuned({"last": [LEARNED]}, None, passive).candidate
    assert found is None or found.kind == "experiment"


def test_too_few_runs_say_nothing() -> None:
    told = tuned({}, others(summed()), attempts(runs=2))
    assert told.reasons[0].reason == "too_little_history"


def test_a_calibration_is_content_addressed_and_says_what_it_came_from() -> None:
    one, again = calibrate(Record(summed()), 1.0), calibrate(Record(summed()), 2.0)
    assert one["id"] == again["id"] != calibrate(Record(summed(7)), 1.0)["id"]
    assert "replays of 12 steps of 6 families" in one["says"]["time"]
    assert one["says"]["cost"].startswith("too few families")


def test_a_cycle_reads_the_map_that_it_was_given() -> None:
    record = Record(summed())
    told = calibrate(record, 100.0)
    cycle = run_cycle(record, [SCOPE], {}, random.Random(1), told, 200.0)
    assert [one.kind for one in cycle.candidates] == ["change"]
    cycle = run_cycle(record, [SCOPE], {}, random.Random(1), {}, 200.0)
    assert [one.kind for one in cycle.candidates] == ["experiment"]


def described(tool: str, playbook: str, step: str) -> dict[str, str]:
    return {"playbook": playbook, "step": step, "tool": tool, "code": "", "text": ""}


def test_a_proposal_names_the_steps_it_borrows_from_and_what_they_weigh() -> None:
    rng = np.random.default_rng(4)
    table = summed(families=10).to_pylist()
    catalogue = [described("sql", "etl/mine", "load")]
    for row in table[:-1]:
        likes = int(row["playbook"].split("/")[1]) % 2
        row["log_s"] += (0.0, -0.5, 0.5)[CLASSES.index(row["setting"])] * likes * 2
        row["log_s"] += rng.normal(0, 0.02)
        catalogue.append(described(("python", "sql")[likes], row["playbook"], row["step"]))
    record = Record(pa.Table.from_pylist(table))
    told = calibrate(record, 100.0, catalogue)
    assert told["earned"]["time"] > 0.3
    seen = read_others(record, told, 100.0, catalogue)
    found = tuned({}, seen).candidate
    assert found is not None
    lenders = found.evidence["others"]["borrowed_from"]
    assert lenders[0]["weight"] == 1.0
    assert int(lenders[0]["step"].split("#")[0].split("/")[1]) % 2 == 1
    weights = [one["weight"] for one in lenders]
    assert weights == sorted(weights, reverse=True)
    assert "steps that resemble it weigh more" in found.note
    assert all(one["weight"] == 1.0 for one in _alike(record, told))


def _alike(record: Record, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Whom it is borrowed from where resemblance has earned nothing."""
    found = tuned({}, read_others(record, {**told, "earned": {}}, 100.0)).candidate
    assert found is not None
    lent: list[dict[str, Any]] = found.evidence["others"]["borrowed_from"]
    return lent


def needing(memory: float, families: int = 10) -> pa.Table:
    """Steps that the small class is too small for or not, and ours, which uses so much of it."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(families * 2):
        much = number % 2 == number // 2 % 2
        for place, setting in enumerate(CLASSES):
            log_s = (-0.7 if much else 0.5) * (place == 1) + 0.4 * (place == 2)
            row = {"playbook": f"other/{number // 2}", "step": f"s{number % 2}"}
            row |= {"setting": setting, "log_s": 2.0 + log_s + rng.normal(0, 0.02)}
            rows.append(row | {"log_memory": np.log(30e9 if much else 1e9) + rng.normal(0, 0.2)})
    mine = {"playbook": "etl/mine", "step": "load", "setting": "small", "log_s": np.log(8.0)}
    rows.append(mine | {"log_memory": np.log(memory)})
    same = {"attempts": 20, "runs": 20, "failed": 0, "log_usd": 0.0, "priced": 0, "succeeded": 20}
    return pa.Table.from_pylist([row | same for row in rows])


def test_what_a_step_did_with_memory_says_whether_to_move_it() -> None:
    found = tuned({}, others(needing(30e9))).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["to"]) == ("change", "large")
    assert found.evidence["others"]["weight_of_metrics"] > 0.1
    assert "what it did with memory, CPU and bytes on small has a weight of" in found.note
    stays = tuned({}, others(needing(1e9))).candidate
    assert stays is None or stays.kind == "experiment"
    mute = others(needing(30e9).drop_columns(["log_memory"]))
    unsure = tuned({}, mute).candidate
    assert unsure is None or unsure.kind == "experiment"
    assert unsure is None or "memory" not in unsure.note


def test_that_nothing_is_known_of_an_alternative_is_said_without_families() -> None:
    tune = [{"name": "alternatives", "min": None, "max": None, "choices": ["main", "other"]}]
    scope = {"tune": tune, "defaults": {"alternatives": "main"}}
    found = tuned(scope, others(summed()), attempts(runs=4))
    text = found.candidate.note if found.candidate else found.reasons[0].text
    assert "only a trial of this step can tell" in text
    assert "families" not in text


def test_a_class_on_which_others_were_slower_is_not_tried_where_a_latency_is_promised() -> None:
    tune = [{"name": "runs_on", "min": None, "max": None, "choices": ["small", "gpu"]}]
    seen = others(summed())
    promised = tuned({"tune": tune, "slo": {"p95_s": 8.6}}, seen)
    assert promised.candidate is None
    assert promised.reasons[0].reason == "breaks_slo"
    assert "longer than 8.6 s on gpu, by what 12 other steps took" in promised.reasons[0].text
    for loose in ({}, {"slo": {"p95_s": 30.0}}):
        assert "longer than" not in str(tuned({"tune": tune, **loose}, seen).reasons)


def test_what_a_slow_arm_of_a_trial_took_is_not_what_the_step_takes_now() -> None:
    tune = [{"name": "runs_on", "min": None, "max": None, "choices": ["small", "gpu"]}]
    other = attempts({"candidate.1": 90.0})  # of a trial of something else
    told = tuned({"tune": tune, "slo": {"p95_s": 40.0}}, others(summed()), other)
    assert "longer than" not in str(told.reasons)
    assert "over 5% of its attempts would take longer than 8.6 s" in str(
        tuned({"tune": tune, "slo": {"p95_s": 8.6}}, others(summed()), other).reasons
    )


def test_a_promised_latency_leaves_the_classes_that_likely_keep_it() -> None:
    found = tuned({"slo": {"p95_s": 8.6}}, others(summed())).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["to"]) == ("change", "large")
    assert "left out: over 5% of its attempts would take longer than 8.6 s on gpu" in found.note


def test_metrics_of_a_class_that_ran_too_seldom_to_have_an_outcome_teach_nothing() -> None:
    rows = summed(settings=CLASSES).to_pylist()
    new = [row | {"runs": 1, "log_memory": 20.0} for row in rows if row["setting"] == "gpu"]
    old = [row | {"log_memory": float("nan")} for row in rows if row["setting"] != "gpu"]
    found = tuned({}, others(pa.Table.from_pylist(old + new))).candidate
    assert found is not None
    assert found.evidence["others"]["weight_of_metrics"] == 0.0
