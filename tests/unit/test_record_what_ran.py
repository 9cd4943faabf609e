"""The record says what an attempt ran, whether its hedge won, and where a budget refused a try."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from test_choice import LEARNED, attempts, tuned
from test_record_derive import Journal, _facts

from runtime.record.derive import derive
from runtime.record.tables import TABLES
from runtime.run.events import AttemptFinished, AttemptScheduled, ConfigStored, Event, Fault

ATTEMPT = next(table.names for table in TABLES if table.name == "attempt")


def told(knobs: dict[str, Any], *events: Event) -> list[dict[str, Any]]:
    journal = Journal()
    journal.add("config/c1", ConfigStored("c1", "p", "s", knobs, []))
    journal.add("run/a", *events)
    rows = derive(_facts(journal), journal)["attempt"]
    return [dict(zip(ATTEMPT, row, strict=True)) for row in rows]


def begun(number: str, hedges: str | None = None) -> AttemptScheduled:
    return AttemptScheduled(f"a/s/0/{number}", "s", 1, "c1", "k", 0, hedges=hedges)


def ended(number: str, outcome: str, scheduled: int, **more: Any) -> AttemptFinished:
    return AttemptFinished(f"a/s/0/{number}", "s", 1, outcome, scheduled, batch=0, **more)


def test_a_hedge_that_won_is_told_from_the_try_that_it_beat() -> None:
    rows = told(
        {"alternatives": "quick"}, begun("1"), begun("1.1", "a/s/0/1"),
        ended("1.1", "succeeded", 2), ended("1", "cancelled", 1, moot=True),
    )  # fmt: skip
    assert [(r["outcome"], r["hedge"]) for r in rows] == [
        ("succeeded", "won"), ("cancelled", "beaten"),
    ]  # fmt: skip
    assert {r["alternative"] for r in rows} == {"quick"}


def test_a_try_alone_raced_nobody_and_a_hedge_that_failed_only_ran_beside() -> None:
    rows = told(
        {}, begun("1"), begun("1.1", "a/s/0/1"), ended("1.1", "failed", 2, moot=True),
        ended("1", "succeeded", 1),
    )  # fmt: skip
    assert [r["hedge"] for r in rows] == ["beside", ""]
    assert {(r["alternative"], r["over_budget"]) for r in rows} == {("", 0)}


def test_a_try_that_a_budget_refused_is_marked() -> None:
    fault = Fault("transient", "no luck (no retry: the budget of 10% is spent)")
    (row,) = told({}, begun("1"), ended("1", "failed", 1, fault=fault, over_budget=True))
    assert (row["over_budget"], row["retried"]) == (1, 0)


def test_work_that_ran_another_choice_than_its_arm_says_nothing_of_it() -> None:
    table = attempts({"candidate.1": 4.0, "candidate.2": 8.0})
    arms = table.column("arm").to_pylist()
    chosen = {"candidate.1": "gpu", "candidate.2": "large", "control": "small"}
    as_told = table.append_column("runs_on", pa.array([chosen[arm] for arm in arms]))
    found = tuned({"last": [LEARNED]}, None, as_told).candidate
    assert found is not None
    assert (found.kind, found.diff[0]["to"]) == ("change", "gpu")
    strayed = table.append_column("runs_on", pa.array(["small"] * len(arms)))
    found = tuned({"last": [LEARNED]}, None, strayed).candidate
    assert found is None or found.kind == "experiment"


def test_a_record_from_before_says_of_nobody_what_it_ran() -> None:
    table = attempts({"candidate.1": 4.0})
    empty = table.append_column("runs_on", pa.array([""] * table.num_rows))
    one, two = (tuned({"last": [LEARNED]}, None, data).candidate for data in (table, empty))
    assert one is not None is not two
    assert one.diff == two.diff
    assert one.kind == two.kind == "change"
