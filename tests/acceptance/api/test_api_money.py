"""Costs, budgets and measures over HTTP, from attempts that really ran."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest

from runtime.record.history import History


@pytest.fixture
def ran(api: Any) -> Any:
    """A run whose attempts can be read in the record."""
    (api.folder.root / "budgets.yaml").write_text(
        "budgets: [{playbook: tests/double, usd_per_month: 0.000000001}]", encoding="utf-8"
    )
    line = api.post(
        "/api/runs", {"playbook": "tests/double", "labels": {"team": "blue"}, "workload": {}}
    )
    view = api.ended(line["run"])
    history = History.open(api.folder)
    try:
        history.await_caught_up(api.written(), 240)
    finally:
        history.close()
    assert view["state"] == "completed"
    return api


def test_what_ran_has_its_cost_by_step_and_the_share_that_is_known(ran: Any) -> None:
    costs = [c for c in ran.get("/api/costs") if c["playbook"] == "tests/double"]
    assert {c["step"] for c in costs} == {"double", "total"}
    assert {c["slot_coverage"] for c in costs} == {1.0}
    assert sum(c["cost_usd"] for c in costs) > 0
    told = {c["step"]: (c["tokens"], c["calls"], c["attempts"]) for c in costs}
    tokens, calls, attempts = told["total"]
    assert tokens == 7 * calls == 7 * attempts
    assert told["double"][:2] == (0, 0)


def test_the_export_is_a_focus_file_that_adds_up_to_the_costs(ran: Any) -> None:
    answer = ran.ask("GET", "/api/costs/export", "viewer", params={"form": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    billed = sum(float(r["BilledCost"]) for r in csv.DictReader(io.StringIO(answer.text)))
    whole = sum(c["cost_usd"] + c["idle_usd"] for c in ran.get("/api/costs"))
    assert billed == pytest.approx(whole)
    parquet = ran.ask("GET", "/api/costs/export", "viewer", params={"form": "parquet"})
    assert parquet.content[:4] == b"PAR1"
    assert ran.ask("GET", "/api/costs", "viewer", params={"month": "x"}).status_code == 422


def test_days_add_up_to_steps(ran: Any) -> None:
    steps, days = ran.get("/api/costs"), ran.get("/api/costs/days")
    for name in ("cost_usd", "idle_usd", "slot_s", "attempts"):
        assert sum(d[name] for d in days) == pytest.approx(sum(c[name] for c in steps))


def test_a_run_has_its_cost_with_its_share_of_what_was_idle(ran: Any) -> None:
    (line, *_) = ran.get("/api/runs", playbook="tests/double", state="completed", limit=1)
    cost = ran.get(f"/api/runs/{line['run']}/cost")
    assert (cost["tokens"], cost["calls"], cost["slot_coverage"]) == (7, 1, 1.0)
    assert cost["attempts"] == 4
    assert cost["cost_usd"] > 0
    assert cost["idle_usd"] >= 0
    assert ran.ask("GET", "/api/runs/nobody/cost", "viewer").status_code == 404


def test_a_budget_shows_what_is_used_of_it(ran: Any) -> None:
    (budget,) = ran.get("/api/budgets")
    assert (budget["playbook"], budget["state"]) == ("tests/double", "exceeded")
    assert isinstance(ran.get("/api/alerts"), list)


@pytest.mark.parametrize(
    "by", ["playbook", "step", "hardware", "configuration", "arm", "version", "label"]
)
def test_measures_come_by_every_dimension(ran: Any, by: str) -> None:
    more = {"label": "team"} if by == "label" else {}
    until = time.time() + 60
    rows = ran.get("/api/trends/measures", by=by, playbook="tests/double", until=until, **more)
    wanted = {
        "playbook": "tests/double", "step": "tests/double › total", "hardware": "local", "arm": "",
        "version": "tests/double › 1", "label": "blue",
    }  # fmt: skip
    assert wanted.get(by, rows[0]["line"]) in {row["line"] for row in rows}
    one = rows[0]
    assert 0 < one["run_p50_s"] <= one["run_p90_s"] <= one["run_p95_s"] <= one["run_p99_s"]
    assert one["total_p50_s"] >= one["queue_p50_s"] >= 0
    assert one["attempts"] >= 1


def test_a_label_needs_its_name_and_changes_can_be_asked_for(ran: Any) -> None:
    asked = ran.ask("GET", "/api/trends/measures", "viewer", params={"by": "label"})
    assert asked.status_code == 422
    assert ran.get("/api/trends/changes", measure="run_p95_s") == []
