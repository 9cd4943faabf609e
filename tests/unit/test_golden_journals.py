"""Journals written by earlier versions open for ever, and fold to what they folded to."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
JOURNALS = sorted((GOLDEN / "journals").glob("*.jsonl.gz"))
sys.path.insert(0, str(GOLDEN))

from fold_journal import fold  # noqa: E402  # a script beside the journals, not a package


def test_there_are_golden_journals() -> None:
    assert JOURNALS


@pytest.mark.parametrize("path", JOURNALS, ids=lambda p: p.name)
def test_an_old_journal_folds_to_what_it_folded_to(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    expected = json.loads(path.with_name(path.name.replace(".jsonl.gz", ".json")).read_text())
    assert fold(rows) == expected
