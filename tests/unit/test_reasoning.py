"""One step's reasoning: every knob by itself, and what would change its mind."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import optimizer
from control_plane.cli.study import ANSWERS, _reasons
from control_plane.cli.tabling import folded, tabled
from optimizer.reasoning import of_table

TUNE = {"each.batch": (10, 1000), "each.in_flight": (1, 8)}
STABLE = {"each.batch": 25, "each.in_flight": 2}


def attempts(*sizes: int, runs: int = 6, factor: float = 1.0) -> pa.Table:
    """Runs whose batches are of 25, and a fifth of them of each other size."""
    chance, rows = random.Random(5), []
    for r in range(runs):
        for k in range(60):
            size = ([25] * 5 + list(sizes))[k % (5 + len(sizes))]
            seconds = (0.06 + 0.0002 * size) * math.exp(chance.gauss(0, 0.2))
            rows.append({
                "attempt": f"r{r}/s/{k}/1", "run": f"r{r}", "version": "v1", "batch": k,
                "block": k, "number": 1, "outcome": "succeeded", "retried": 0, "error_class": "",
                "run_s": factor * seconds, "items": size, "cost_usd": seconds / 3600,
                "scheduled_at": 1000.0 * r + k, "at": 1000.0 * r + k + factor * seconds,
                "batch_size": size, "in_flight": 2, "experiment": "x" if sizes else "",
                "arm": ("control" if size == 25 else f"candidate.{size}") if sizes else "",
                "share": 0.2 if sizes else None, "timeout_s": None,
            })  # fmt: skip
    return pa.Table.from_pylist(rows)


def knob(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in told["knobs"] if one["knob"] == name)


def test_every_knob_is_asked_by_itself_and_one_proposal_is_made() -> None:
    told = of_table(attempts(50, 200), TUNE, STABLE)
    assert [one["knob"] for one in told["knobs"]] == list(TUNE)
    batch = knob(told, "each.batch")
    assert batch["answer"] == "change"
    assert batch["candidate"]["diff"] == [{"knob": "each.batch", "from": 25, "to": 200}]
    assert told["proposal"]["diff"] == batch["candidate"]["diff"]
    assert {value["value"] for value in batch["model"]["values"]} == {25, 50, 200}


def test_a_change_says_in_numbers_what_would_change_its_mind() -> None:
    batch = knob(of_table(attempts(50, 200), TUNE, STABLE), "each.batch")
    first, second, third = batch["would_change_it"]
    assert first.startswith("a trial that measures less than -5%")
    factor = batch["candidate"]["evidence"]["causal"]["e_value_bound"]
    assert f"factor of {factor:.1f}" in second
    assert "regime" in third


def test_where_history_cannot_say_it_says_what_would_have_to_be_tried() -> None:
    told = of_table(attempts(), TUNE, STABLE)
    assert {one["answer"] for one in told["knobs"]} == {"experiment"}
    assert "tried side by side" in knob(told, "each.batch")["would_change_it"][0]


def test_too_little_history_is_told_with_what_is_needed() -> None:
    told = of_table(attempts(runs=6), TUNE, {**STABLE, "each.batch": 400})
    assert knob(told, "each.batch")["answer"] == "too_little_history"
    assert "30 batches" in knob(told, "each.batch")["would_change_it"][0]


def test_a_knob_that_needs_other_history_than_batches_does_not_ask_for_batches() -> None:
    stable: Any = {"timeout": 20, "retry.attempts": 2, "retry.on": ["timeout"]}
    timeout = knob(of_table(attempts(runs=1), {"timeout": (1, 60)}, stable), "timeout")
    assert (timeout["answer"], timeout["text"][:8]) == ("too_little_history", "60 tries")
    assert timeout["would_change_it"] == ["as much as it says is needed, in the current regime"]


def test_the_same_table_and_seed_give_the_same_reasoning_in_any_order_of_rows() -> None:
    table = attempts(50, 200)
    mixed = table.take(random.Random(1).sample(range(table.num_rows), table.num_rows))
    assert of_table(mixed, TUNE, STABLE) == of_table(table, TUNE, STABLE)


@pytest.mark.parametrize("factor", [0.001, 1000.0])
def test_the_unit_of_time_does_not_matter(factor: float) -> None:
    one = knob(of_table(attempts(50, 200), TUNE, STABLE), "each.batch")
    other = knob(of_table(attempts(50, 200, factor=factor), TUNE, STABLE), "each.batch")
    assert other["candidate"]["diff"] == one["candidate"]["diff"]
    ends = [c["candidate"]["evidence"]["causal"]["interval"] for c in (one, other)]
    assert ends[0] == pytest.approx(ends[1])


def test_the_reasoning_is_json_and_is_told_in_lines() -> None:
    told = of_table(attempts(50, 200), TUNE, STABLE)
    assert json.loads(json.dumps(told)) == told
    lines = list(_reasons(told))
    assert lines[0] == "table#attempts: 360 batches finished; the objective is less cost per item"
    assert lines[1] == "  360 attempts read, left out: none; 100% of them have a cost"
    assert "each.batch, now 25: a change is worth it" in lines
    assert lines[-2] == "it proposes a change: each.batch 25 → 200"


def test_an_experiment_is_told_as_a_trial_that_is_proposed() -> None:
    lines = list(_reasons(of_table(attempts(), TUNE, STABLE)))
    assert any(
        one.startswith("it proposes a trial, for history cannot say: each.") for one in lines
    )
    assert not any(line.startswith("it proposes history") for line in lines)


def test_every_answer_of_the_optimizer_has_words() -> None:
    written = {
        code
        for path in Path(optimizer.__file__).parent.glob("*.py")
        for code in re.findall(
            r'(?:\.no\(|append\(\(|Reason\(\w+, )\s*"(\w+)"', path.read_text("utf-8")
        )
    }
    assert {"not_worthwhile", "unprovable", "step_too_large"} <= written
    assert written - {"bounds", "joint"} <= set(ANSWERS)


def test_a_narrow_terminal_folds_between_words_and_a_pipe_gets_whole_lines() -> None:
    rows = [["ID", "WHY"], ["p-8df1c6368a1a", "it was too large a step for one change"]]
    for width in range(22, 60):
        lines = list(tabled(rows, width))
        assert max(map(len, lines)) <= width
        assert "p-8df1c6368a1a" in lines[1]
        assert " ".join(one[16:] for one in lines[1:]).split() == rows[1][1].split()
        assert len(folded(rows[1][1], width)) == 1 or width < 38
    assert len(list(tabled(rows, None))) == 2
    assert folded(rows[1][1], None) == [rows[1][1]]
