"""The steps of ``system/optimize``: they say what is there, and the same for the same cycle."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.simulated_loop import SCOPE, SimulatedLoop
from bench.simulated_service import Manners
from runtime.playbook.bundle import load

FOLDER = Path(__file__).resolve().parents[2] / "playbooks" / "system"


def steps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("optimize_steps", FOLDER / "optimize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recorded:
    """A simulated world's record, which notes for what it was made to wait."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop.seeded(1, Manners())
        self.loop.runs(2)
        self.awaited: dict[int, int] = {}

    def query(self, name: str, **params: Any) -> Any:
        return self.loop.world.query(name, **params)

    def await_caught_up(self, cursor: dict[int, int], timeout_s: float) -> None:
        self.awaited = cursor


def workload(**more: Any) -> dict[str, Any]:
    return {"scopes": [{**SCOPE, "stable": {}, "last": []}], "policy": {}, "cycle": "c-1", **more}


def test_the_playbook_is_one_and_names_its_steps() -> None:
    playbook = load(FOLDER / "optimize.yaml").playbook
    assert [step.name for step in playbook.steps] == ["observe", "tune"]
    assert all(step.effect == "none" for step in playbook.steps)


def test_observing_waits_for_the_record_and_sums_up_each_step() -> None:
    record = Recorded()
    seen = steps().observe(workload(cursor={"1": 40}), record)
    assert record.awaited == {1: 40}
    assert [one["scope"] for one in seen["steps"]] == ["healthcare/patient_cohort#fetch"]
    assert seen["steps"][0]["batches"] == 800
    assert seen["silent"] == []


def test_tuning_answers_in_json_and_the_same_for_the_same_cycle() -> None:
    one, two = (steps().tune(workload(), Recorded()) for _ in range(2))
    assert json.loads(json.dumps(one)) == one == two
    assert one["candidates"][0]["kind"] == "experiment"
    assert {reason["reason"] for reason in one["reasons"]} <= {"not_worthwhile"}
