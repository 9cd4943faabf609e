"""Journals written by earlier versions open for ever, and fold to what they folded to."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from fold_journal import fold, runs_of

GOLDEN = Path(__file__).parents[1] / "golden"
JOURNALS = sorted((GOLDEN / "journals").glob("*.jsonl.gz"))


def test_there_are_golden_journals() -> None:
    assert JOURNALS


@pytest.mark.parametrize("path", JOURNALS, ids=lambda p: p.name)
def test_an_old_journal_folds_to_what_it_folded_to(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    expected = json.loads(path.with_name(path.name.replace(".jsonl.gz", ".json")).read_text())
    assert fold(rows) == expected


def test_the_runs_of_an_old_journal_fold_to_the_traces_that_they_had() -> None:
    """A trace is told from the marking's text, which a recorded run's end must agree with."""
    (path,) = [p for p in JOURNALS if p.name == "cohort-1.jsonl.gz"]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        runs = runs_of([json.loads(line) for line in lines])
    assert {run: state.trace for run, state in runs.items()} == {
        "01a20dd6830e876b355e6521081bd4b2": "85c98056fb1ef6dff54d468e0e5ec191",
        "01a20dd7bbf557d7868d28a0763181ab": "f873bcc40606eeaf70373f67c878deed",
        "01a20dd7dc5dae409b4e8121f8fe7638": "00358be58ca847c74a22dd81eeda27e5",
    }
