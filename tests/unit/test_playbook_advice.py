"""A sound playbook may get advice, at its place, which stands in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_run_views import FAULT, finished, scheduled, told

from control_plane.cli.run import _how_many
from runtime.playbook.advice import MANY, TOGETHER, advice
from runtime.playbook.knobs import RETRYABLE
from runtime.playbook.model import Playbook, Retry, Step, compensation
from runtime.playbook.parse import parse

BOOK = """apiVersion: trimtab/v1
kind: Playbook
metadata: {path: a/b}
workflow:
  - step: ask
    tool: {kind: http, url: "https://example.org", method: GET}
    retry:
      attempts: %s
"""


@given(
    st.integers(1, 9), st.lists(st.sampled_from(RETRYABLE), unique=True),
    st.none() | st.floats(0.01, 1.0),
)  # fmt: skip
def test_many_attempts_without_a_budget_are_advised_one_and_nobody_else_is(
    attempts: int, on: list[str], budget: float | None
) -> None:
    step = Step("a", {"kind": "python"}, retry=Retry(attempts, on=tuple(on), budget=budget))
    asked = attempts > MANY and budget is None and bool(TOGETHER & set(on))
    assert bool(advice(Playbook("p", (step,)))) == asked
    assert advice(Playbook("p", (Step("a", retry=step.retry), compensation(step)))) == []


def test_advice_stands_where_the_attempts_do() -> None:
    (one,) = advice(parse(BOOK % 5))
    assert (one.line, one.path) == (8, "ask.retry.attempts")
    assert "5 times its load" in one.message
    assert "budget: 10%" in one.hint
    assert advice(parse(BOOK % "5\n      budget: 10%")) == []


def test_the_command_line_gives_advice_and_finds_the_playbook_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from control_plane.cli.output import Format
    from control_plane.cli.playbook import validate

    file = tmp_path / "playbook.yaml"
    file.write_text(BOOK % 5, encoding="utf-8")
    validate(file, Format.TABLE)
    told = capsys.readouterr()
    assert "playbook.yaml:8:" in told.out
    assert "advice: in an outage these attempts make 5 times its load" in told.out
    validate(file, Format.JSON)
    checked = json.loads(capsys.readouterr().out)
    assert (checked["valid"], checked["faults"], len(checked["advice"])) == (True, [], 1)


def test_tries_that_a_budget_refused_are_counted_by_step() -> None:
    over = finished(0, outcome="failed", fault=FAULT, over_budget=True)
    view = told(scheduled(0), over).get("0" * 32)
    (step,) = view.steps
    assert step.over_budget == 1
    said = {
        "items": 1,
        "items_done": 0,
        "batches": 1,
        "attempts": 1,
        "failed_attempts": 1,
        "over_budget": 1,
    }
    assert _how_many(said) == "1 attempt (1 failed), 1 over the retry budget"
