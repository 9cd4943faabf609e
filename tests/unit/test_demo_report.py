"""The demo's report is a fold over the journal, and its judge holds it to its promises."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.demo.judge import checks
from control_plane.demo.play import harmful, is_open
from control_plane.demo.report import Outside, RunFacts, report, sides
from control_plane.demo.screen import Screen, proposal_lines
from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append
from runtime.run.events import (
    AttemptFinished,
    ConfigStored,
    EachCut,
    Event,
    OutcomeRecorded,
    ProductPublished,
    ProposalDrafted,
    ProposalMoved,
    RunCompleted,
    RunSubmitted,
    VerdictReached,
)

PLAYBOOK = "p/cohort"
OUTSIDE = Outside(120.0, 40.0, "no further worthwhile proposal", "", {"requests": 9}, None)


class Teller:
    """Writes a journal as the engine would have."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.at = 1000.0

    def tell(self, stream: str, *events: Event) -> None:
        length = self.journal.length(stream)
        self.journal.append([Append(stream, length, self.at, events)])

    def config(self, name: str, batch: int, overlay: int | None = None) -> None:
        chain = [{"layer": "default", "values": {"each.batch": batch, "each.in_flight": 2}}]
        if overlay is not None:
            chain.append({"layer": "overlay", "values": {"each.batch": overlay}})
        effective = {"each.batch": overlay or batch, "each.in_flight": 2}
        self.tell(f"config/{name}", ConfigStored(name, PLAYBOOK, "fetch", effective, chain))

    def run(self, run: str, config: str, wall: float, experiment: str | None = None) -> None:
        stream = f"run/{run}"
        self.tell(stream, RunSubmitted(PLAYBOOK, "v", 1, {}, "author"))
        items = {"count": 100, "source": None}
        arm = "candidate" if experiment else None
        kind = "block" if experiment else "all"
        cut = EachCut("fetch", 0, kind, 0, 100, 25, 0, 2, config, items, experiment, arm)
        self.tell(stream, cut, AttemptFinished("a", "fetch", 1, "succeeded", 3, cost_usd=0.5))
        self.at += wall
        product = ProductPublished("f", "x", 1, "l", "m", 100, 10, "cafe", {})
        self.tell(stream, product, RunCompleted())
        self.at += 1.0


@pytest.fixture
def told() -> dict[str, Any]:
    teller = Teller()
    teller.config("c1", 25)
    teller.config("c2", 25, overlay=50)
    teller.run("1", "c1", 10.0)
    teller.run("2", "c1", 12.0)
    teller.tell(
        "proposal/p-1",
        ProposalDrafted(
            "p-1", "change", PLAYBOOK, "fetch", "batch", "cost",
            [{"knob": "each.batch", "from": 25, "to": 50}], {"each.batch": 25}, {},
            {"cost": {"lower": -0.5, "median": -0.4, "upper": -0.3}}, "optimizer", "k", "c",
        ),
        ProposalMoved("p-1", "approve", "proposed", "approved", "reviewer", "approved",
                      bound_hash="b"),
    )  # fmt: skip
    teller.run("3", "c1", 8.0, experiment="x-1")
    teller.tell(
        "proposal/p-1",
        VerdictReached("p-1", "x-1", "better", "better", {"control": 40, "candidate": 35},
                       {"e_max": 1.5, "gain_ci": [-0.5, -0.3]}),
        OutcomeRecorded("p-1", "batch", "cost", {}, -0.41, [], True),
        ProposalMoved("p-1", "keep", "watch", "kept", "verifier", "no_watch"),
    )  # fmt: skip
    teller.run("4", "c2", 3.0)
    teller.run("5", "c2", 3.0)
    return report(teller.journal, PLAYBOOK, OUTSIDE)


def test_before_and_after_are_the_runs_on_which_nothing_was_tried(told: dict[str, Any]) -> None:
    assert told["config"] == {
        "before": {"batch": 25, "in_flight": 2},
        "after": {"batch": 50, "in_flight": 2},
    }
    assert told["before"] == {"runs": 2, "wall_s_median": 11.0, "cost_per_1000_median": 5.0}
    assert told["after"]["runs"] == 2
    assert told["failed_patients"] == 0


def test_a_proposal_is_told_with_its_people_its_measures_and_its_end(told: dict[str, Any]) -> None:
    (proposal,) = told["proposals"]
    assert (proposal["author"], proposal["approver"]) == ("optimizer", "reviewer")
    assert (proposal["bound_hash"], proposal["state"]) == ("b", "kept")
    assert proposal["units"] == {"control": 40, "candidate": 35}
    assert proposal["items_on_candidate"] == 100
    assert (proposal["realised"], proposal["e_max"]) == (-0.41, 1.5)
    assert [line["type"] for line in proposal["events"]][-1] == "proposal.moved"


def test_every_field_that_was_promised_is_there(told: dict[str, Any]) -> None:
    assert set(told) == {
        "schema_version", "seconds_total", "install_s", "stopped_because", "cycles",
        "service_params", "service", "config", "before", "after", "runs", "proposals",
        "failed_patients", "rows",
    }  # fmt: skip
    assert set(told["runs"][0]) == {
        "id", "wall_s", "cost", "batch", "in_flight", "patients", "features_sha256",
    }  # fmt: skip


def test_where_nothing_was_tried_there_is_no_after() -> None:
    runs = [RunFacts(str(n), 1.0, "completed", batch=25, in_flight=2) for n in range(3)]
    before, after = sides(runs)
    assert (len(before), after) == (3, [])


def test_a_good_report_passes_and_each_broken_promise_is_named(told: dict[str, Any]) -> None:
    assert all(check.kept or check.goal for check in checks(told))
    told["runs"][0]["features_sha256"] = "beef"
    told["failed_patients"] = 3
    broken = [check.text for check in checks(told) if not check.kept and not check.goal]
    assert broken == ["3 patients failed", "5 runs, 2 different features"]


def test_a_record_that_lacks_rows_is_a_broken_promise(told: dict[str, Any]) -> None:
    told["rows"] = {
        "journal_events": 10, "clickhouse_events": 9, "journal_attempts": 4,
        "clickhouse_attempts": 4, "qdrant_points": 3, "qdrant_expected": 3,
    }  # fmt: skip
    broken = [check.text for check in checks(told) if not check.kept and not check.goal]
    assert broken == ["journal events 10, clickhouse events 9"]


def test_the_harmful_candidate_doubles_what_is_stable() -> None:
    step = {"name": "fetch", "effective": {"each.batch": 240}}
    body = harmful({"steps": [{"name": "load"}, step]})
    assert body["diff"] == [{"knob": "each.batch", "from": 240, "to": 480}]


@pytest.mark.parametrize(
    ("state", "open_"),
    [("proposed", False), ("scheduled", True), ("canary", True), ("kept", False)],
)
def test_a_proposal_is_open_from_its_approval_to_its_end(state: str, open_: bool) -> None:
    assert is_open({"state": state}) is open_


def test_the_screen_shows_a_proposal_and_the_table_of_the_end(told: dict[str, Any]) -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    screen = Screen(Console(file=out, width=120))
    view = {
        "id": "p-1", "kind": "change", "playbook": PLAYBOOK, "step": "fetch",
        "knob_class": "batch", "objective": "cost", "author": "optimizer", "evidence": {},
        "diff": told["proposals"][0]["diff"],
        "predicted": {"cost": {"lower": -0.5, "median": -0.4, "upper": -0.3}},
    }  # fmt: skip
    screen.proposal(view)
    screen.table(told)
    text = out.getvalue()
    assert "each.batch 25 → 50" in text
    assert "-40% measured, 90% interval -50% to -30%" in text
    assert "kept" in text
    assert ("predicted", "nothing: history cannot say, so this is tried in order to learn") in [
        *proposal_lines({**view, "predicted": {}})
    ]
